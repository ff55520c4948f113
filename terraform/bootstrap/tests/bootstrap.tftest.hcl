mock_provider "aws" {
  source = "../mocks"
}

variables {
  region      = "eu-central-1"
  bucket_name = "ironbook-state-test"
}

run "the_bucket_of_states_is_closed_encrypted_and_forgets_nothing" {
  command = plan

  assert {
    condition     = aws_s3_bucket_public_access_block.this.restrict_public_buckets && aws_s3_bucket_versioning.this.versioning_configuration[0].status == "Enabled"
    error_message = "it must be closed, and keep every version"
  }

  assert {
    condition     = one(data.aws_iam_policy_document.bucket.statement).effect == "Deny"
    error_message = "it must refuse whoever comes without TLS"
  }
}

run "a_zone_for_a_region_is_refused" {
  command = plan

  variables {
    region = "eu-central-1a"
  }

  expect_failures = [var.region]
}

run "a_bucket_with_capitals_is_refused" {
  command = plan

  variables {
    bucket_name = "Ironbook"
  }

  expect_failures = [var.bucket_name]
}
