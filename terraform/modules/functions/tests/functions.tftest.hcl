mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name                 = "ironbook-test"
  vpc_id               = "vpc-00000000"
  vpc_cidr             = "10.20.0.0/16"
  subnet_ids           = ["subnet-1", "subnet-2", "subnet-3"]
  packages_directory   = "./tests/packages" # stand-ins: make functions builds the real ones
  packages_bucket_name = "artifacts"
  verifier_image       = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/ironbook-test/verifier@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  settings = {
    reporting = { reports_bucket = "reports" }
    rotation  = { environment = "test" }
    archiver  = { archive_bucket = "archive" }
    verifier  = { archive_bucket = "archive" }
    canary    = { engine = "engine.ironbook-test.internal:7400" }
  }
  role_arns           = { for function in ["reporting", "rotation", "archiver", "verifier", "canary"] : function => "arn:aws:iam::111122223333:role/${function}" }
  rotated_secret_arns = { cookie = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:ironbook-test/cookie-AbCdEf" }
  certificate_days    = 180
  alerts_topic_arn    = "arn:aws:sns:eu-central-1:111122223333:alerts"
  kms_key_arn         = "arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-0000-0000-000000000000"
  log_retention_days  = 30
}

run "each_function_has_its_own_package_role_log_group_and_bounds" {
  command = apply

  assert {
    condition     = alltrue([for function, lambda in aws_lambda_function.this : lambda.role == var.role_arns[function] && lambda.reserved_concurrent_executions > 0 && length(lambda.dead_letter_config) == 1 && length(lambda.vpc_config) == 1])
    error_message = "every function must have its role, its bound, its dead letters and its network"
  }
  assert {
    condition     = alltrue([for function in ["reporting", "rotation", "archiver", "canary"] : strcontains(aws_lambda_function.this[function].s3_key, filesha256("./tests/packages/${function}.zip"))])
    error_message = "a package must be known by its digest"
  }
  assert {
    condition     = aws_lambda_function.this["verifier"].package_type == "Image"
    error_message = "the verifier must be a container image"
  }
  assert {
    condition     = aws_lambda_function.this["reporting"].memory_size >= 1769
    error_message = "reports of a large day must have a whole CPU, which Lambda gives from 1769 MiB on"
  }
  assert {
    condition     = aws_lambda_function.this["reporting"].environment[0].variables["IRONBOOK_FUNCTION_REPORTS_BUCKET"] == "reports"
    error_message = "settings must become variables"
  }
}

run "schedules_call_what_they_are_for" {
  command = apply

  assert {
    condition     = { for name, rule in aws_cloudwatch_event_rule.this : name => rule.schedule_expression } == { report-daily = "cron(0 2 * * ? *)", rotation-drive = "rate(5 minutes)", archive-minute-0 = "rate(1 minute)", verify-daily-0 = "cron(30 0 * * ? *)", verify-full-0 = "cron(0 5 * * ? *)", canary-minutely = "rate(1 minute)" }
    error_message = "schedules must be those of the README"
  }
  assert {
    condition     = jsondecode(aws_cloudwatch_event_target.this["rotation-drive"].input) == { action = "drive" }
    error_message = "rotation must be told to drive"
  }
}

run "every_shard_is_archived_and_verified" {
  command = apply

  variables {
    shards = [0, 3]
  }

  assert {
    condition = { for name, target in aws_cloudwatch_event_target.this : name => jsondecode(target.input) if length(regexall("^(archive|verify)", name)) == 1 } == {
      archive-minute-0 = { shard = 0 }
      archive-minute-3 = { shard = 3 }
      verify-daily-0   = { shard = 0 }
      verify-daily-3   = { shard = 3 }
      verify-full-0    = { shard = 0, full = true }
      verify-full-3    = { shard = 3, full = true }
    }
    error_message = "each shard must have its own calls"
  }
  assert {
    condition     = aws_lambda_function.this["archiver"].reserved_concurrent_executions == 2 && aws_lambda_function.this["verifier"].reserved_concurrent_executions == 2
    error_message = "shards that are due at the same minute must not wait for each other"
  }
}

run "half_a_shard_is_refused" {
  command = plan

  variables {
    shards = [0.5]
  }

  expect_failures = [var.shards]
}

run "secrets_rotate_every_90_days_and_not_by_the_apply" {
  command = apply

  assert {
    condition     = aws_secretsmanager_secret_rotation.this["cookie"].rotation_rules[0].automatically_after_days == 90 && !aws_secretsmanager_secret_rotation.this["cookie"].rotate_immediately
    error_message = "a rotation needs processes that hold the secret"
  }
}

run "a_package_that_was_not_built_is_named" {
  command = plan

  variables {
    packages_directory = "./tests"
  }

  expect_failures = [aws_s3_object.package]
}

run "an_unknown_function_is_refused" {
  command = plan

  variables {
    settings = { reporting = {} }
  }

  expect_failures = [var.settings]
}

run "settings_that_lambda_has_no_room_for_are_refused" {
  command = plan

  variables {
    settings = { reporting = {}, rotation = { database_ca_pem = join("", [for number in range(400) : "0123456789"]) }, archiver = {}, verifier = {}, canary = {} }
  }

  expect_failures = [aws_lambda_function.this]
}

run "rotation_every_ten_years_is_refused" {
  command = plan

  variables {
    rotation_days = 3650
  }

  expect_failures = [var.rotation_days]
}

run "a_certificate_that_ends_when_its_successor_is_begun_is_refused" {
  command = plan

  variables {
    certificate_days = 90
    rotation_days    = 90
  }

  expect_failures = [var.certificate_days]
}

run "a_schedule_of_five_fields_is_refused" {
  command = plan

  variables {
    report_schedule = "cron(30 0 * * *)"
  }

  expect_failures = [var.report_schedule]
}

run "a_verifier_by_tag_is_refused" {
  command = plan

  variables {
    verifier_image = "verifier:latest"
  }

  expect_failures = [var.verifier_image]
}
