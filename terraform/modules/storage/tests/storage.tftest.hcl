mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name                   = "ironbook-test"
  kms_key_arn            = "arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-0000-0000-000000000000"
  archive_lock_mode      = "COMPLIANCE"
  archive_lock_days      = 1827
  infrequent_after_days  = 30
  glacier_after_days     = 90
  reports_retention_days = 731
  deletion_protection    = true
}

run "no_bucket_is_public_and_every_version_is_kept" {
  command = apply

  assert {
    condition     = alltrue([for bucket in ["archive", "reports", "artifacts", "logs"] : aws_s3_bucket_public_access_block.this[bucket].block_public_policy && aws_s3_bucket_public_access_block.this[bucket].restrict_public_buckets && aws_s3_bucket_versioning.this[bucket].versioning_configuration[0].status == "Enabled"])
    error_message = "each of the four buckets must be closed and versioned"
  }

  assert {
    condition     = alltrue([for bucket in ["archive", "reports", "artifacts"] : one(one(aws_s3_bucket_server_side_encryption_configuration.this[bucket].rule).apply_server_side_encryption_by_default).kms_master_key_id == var.kms_key_arn])
    error_message = "what we write must be encrypted with our key"
  }

  assert {
    condition     = alltrue([for document in data.aws_iam_policy_document.bucket : document.statement[0].effect == "Deny" && one(document.statement[0].condition).variable == "aws:SecureTransport"])
    error_message = "each bucket must refuse whoever comes without TLS"
  }
}

run "what_the_archive_holds_cannot_be_changed_in_its_time" {
  command = apply

  assert {
    condition     = aws_s3_bucket.this["archive"].object_lock_enabled && !aws_s3_bucket.this["reports"].object_lock_enabled
    error_message = "the archive alone must be locked"
  }

  assert {
    condition     = one(one(aws_s3_bucket_object_lock_configuration.archive.rule).default_retention).mode == "COMPLIANCE" && one(one(aws_s3_bucket_object_lock_configuration.archive.rule).default_retention).days == 1827
    error_message = "the lock must be as asked for"
  }

  assert {
    condition     = alltrue([for bucket in aws_s3_bucket.this : !bucket.force_destroy])
    error_message = "a protected bucket that holds anything must not be destroyed"
  }
}

run "the_journal_grows_cool_and_then_cold" {
  command = apply

  assert {
    condition     = alltrue([for rule in aws_s3_bucket_lifecycle_configuration.archive.rule : [for step in rule.transition : "${step.storage_class} ${step.days}"] == ["STANDARD_IA 30", "GLACIER_IR 90"] if startswith(rule.id, "cool-")])
    error_message = "the archive must go to infrequent access, then to Glacier"
  }

  assert {
    condition     = alltrue([for rule in aws_s3_bucket_lifecycle_configuration.archive.rule : length(rule.expiration) == 0 if rule.id != "snapshots-end"])
    error_message = "nothing but snapshots may end in the archive"
  }
}

run "every_image_has_a_repository_that_keeps_what_was_pushed" {
  command = apply

  assert {
    condition     = { for image, repository in aws_ecr_repository.this : image => repository.name } == { collector = "ironbook-test/collector", gateway = "ironbook-test/gateway", streams = "ironbook-test/streams", verifier = "ironbook-test/verifier" }
    error_message = "each image of a release must have a repository, under the environment's name"
  }

  assert {
    condition     = alltrue([for repository in aws_ecr_repository.this : repository.image_tag_mutability == "IMMUTABLE" && one(repository.image_scanning_configuration).scan_on_push && one(repository.encryption_configuration).kms_key == var.kms_key_arn && !repository.force_delete])
    error_message = "what was pushed must be scanned, encrypted with our key, not be written over, and not go with a slip"
  }

  assert {
    condition     = keys(aws_ecr_lifecycle_policy.this) == ["collector", "gateway", "streams", "verifier"] && alltrue([for policy in aws_ecr_lifecycle_policy.this : one(jsondecode(policy.policy).rules).selection.countNumber == 100])
    error_message = "a repository must not grow for ever"
  }
}

run "lambda_pulls_the_verifier_and_nothing_else" {
  command = apply

  assert {
    condition     = aws_ecr_repository_policy.verifier.repository == "ironbook-test/verifier" && toset(one(data.aws_iam_policy_document.verifier.statement).actions) == toset(["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"])
    error_message = "Lambda must be let pull the verifier, and push nothing"
  }

  assert {
    condition     = one(one(data.aws_iam_policy_document.verifier.statement).condition).values == tolist(["arn:aws:lambda:eu-central-1:111122223333:function:ironbook-test-verifier*"])
    error_message = "it must be for this environment's verifier alone"
  }
}

run "an_unprotected_bucket_is_destroyed_with_what_it_holds" {
  command = apply

  variables {
    deletion_protection = false
  }

  assert {
    condition     = alltrue([for bucket in aws_s3_bucket.this : bucket.force_destroy]) && alltrue([for repository in aws_ecr_repository.this : repository.force_delete])
    error_message = "every bucket and repository must go"
  }
}

run "a_lock_of_an_unknown_kind_is_refused" {
  command = plan

  variables {
    archive_lock_mode = "STRICT"
  }

  expect_failures = [var.archive_lock_mode]
}

run "infrequent_access_before_s3_takes_it_is_refused" {
  command = plan

  variables {
    infrequent_after_days = 29
  }

  expect_failures = [var.infrequent_after_days]
}

run "glacier_too_soon_after_infrequent_access_is_refused" {
  command = plan

  variables {
    glacier_after_days = 59
  }

  expect_failures = [var.glacier_after_days]
}

run "glacier_before_infrequent_access_pays_is_refused" {
  command = plan

  variables {
    infrequent_after_days = 80
  }

  expect_failures = [aws_s3_bucket_lifecycle_configuration.archive]
}

run "an_archive_that_is_locked_for_no_day_is_refused" {
  command = plan

  variables {
    archive_lock_days = 0
  }

  expect_failures = [var.archive_lock_days]
}
