mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name                 = "ironbook-test"
  environment          = "test"
  api_keys             = { canary = { number = 5, permissions = ["trade", "cancel", "read"], account = 1 }, gateway-0 = { number = 10, permissions = ["trade", "delegate"], account = 0, networks = ["10.0.0.0/8"] } }
  database             = { host = "mock.rds.internal", port = 5432, name = "ironbook" }
  database_roles       = { analytics = "ironbook_writer", follower = "ironbook_follower" }
  kafka_principals     = ["analytics", "operator"]
  certificates         = { gateway = ["gateway.ironbook-test.internal"] }
  processes_count      = { engine = 1, gateway = 2, validation = 1, risk = 1, analytics = 1 }
  recovery_window_days = 7
}

run "every_secret_says_what_it_is_and_who_must_hold_it" {
  command = apply

  assert {
    condition     = keys(output.secret_arns) == ["api_key/canary", "api_key/gateway-0", "cookie", "database/analytics", "database/follower", "kafka/analytics", "kafka/operator", "tls/gateway"]
    error_message = "there must be a secret for each key, login and certificate, and one for cookies"
  }

  assert {
    condition     = aws_secretsmanager_secret.this["api_key/gateway-0"].tags == tomap({ "ironbook:kind" = "api_key", "ironbook:environment" = "test", "ironbook:holders" = "engine=1 gateway=2 validation=1 risk=1" })
    error_message = "a key must be held by all who check it; a gateway that runs only under load is not demanded"
  }

  assert {
    condition     = aws_secretsmanager_secret.this["database/analytics"].tags == tomap({ "ironbook:kind" = "database", "ironbook:environment" = "test", "ironbook:users" = "analytics=1" })
    error_message = "a login must be used by its process"
  }

  assert {
    condition     = aws_secretsmanager_secret.this["cookie"].tags == tomap({ "ironbook:kind" = "cookie", "ironbook:environment" = "test", "ironbook:holders" = "gateway=2", "ironbook:users" = "gateway=2" })
    error_message = "the secret of cookies must be held and used by every gateway"
  }

  assert {
    condition     = alltrue([for secret in aws_secretsmanager_secret.this : secret.kms_key_id == aws_kms_key.this.arn && startswith(secret.name, "ironbook-test/")])
    error_message = "every secret must be encrypted with our key, under the environment's name"
  }
}

run "for_what_only_functions_read_there_is_nobody_to_wait" {
  command = apply

  assert {
    condition     = alltrue([for name in ["kafka/operator", "database/follower"] : aws_secretsmanager_secret.this[name].tags == tomap({ "ironbook:kind" = split("/", name)[0], "ironbook:environment" = "test", "ironbook:holders" = "" })])
    error_message = "a secret that no process tells of must say that nobody is waited for"
  }
}

run "what_gateways_read_topics_with_is_used_by_gateways" {
  command = apply

  variables {
    kafka_principals = ["subscriber"]
  }

  assert {
    condition     = aws_secretsmanager_secret.this["kafka/subscriber"].tags["ironbook:users"] == "gateway=2"
    error_message = "the login of subscribers must be used by every gateway"
  }
}

run "no_secret_passes_through_the_state" {
  command = apply

  assert {
    condition     = alltrue([for version in concat(values(aws_secretsmanager_secret_version.api_key), values(aws_secretsmanager_secret_version.database), values(aws_secretsmanager_secret_version.kafka), values(aws_secretsmanager_secret_version.kafka_user), [aws_secretsmanager_secret_version.cookie]) : version.secret_string_wo == null && version.secret_string_wo_version == 1])
    error_message = "first values must be written and not kept"
  }
}

run "a_certificate_lives_for_two_rotations_of_ninety_days" {
  command = apply

  assert {
    condition     = output.certificate_days == 180
    error_message = "a certificate must live clearly longer than the 90 days of a rotation"
  }
}

run "a_certificate_of_ten_years_is_refused" {
  command = plan

  variables {
    certificate_days = 3650
  }

  expect_failures = [var.certificate_days]
}

run "every_kafka_user_has_a_secret_that_msk_reads" {
  command = apply

  assert {
    condition     = [for secret in aws_secretsmanager_secret.kafka_user : secret.name] == ["AmazonMSK_ironbook-test_analytics_a", "AmazonMSK_ironbook-test_analytics_b", "AmazonMSK_ironbook-test_operator_a", "AmazonMSK_ironbook-test_operator_b"]
    error_message = "two users a principal, by MSK's names"
  }

  assert {
    condition     = output.kafka_user_secret_name_prefix == "AmazonMSK_ironbook-test_"
    error_message = "rotation must find them by their prefix"
  }

  assert {
    condition     = alltrue([for document in data.aws_iam_policy_document.kafka_user : one(one(document.statement).principals).identifiers == toset(["kafka.amazonaws.com"])])
    error_message = "MSK must be let in, and nobody else"
  }

  assert {
    condition     = alltrue([for document in data.aws_iam_policy_document.kafka_user : one(document.statement).sid == "AWSKafkaResourcePolicy" && toset(one(document.statement).actions) == toset(["secretsmanager:getSecretValue"]) && length(one(document.statement).condition) == 0])
    error_message = "the policy must be word for word the one that MSK puts there itself: any other is seen as changed by each of us in turn"
  }
}

run "the_key_turns_every_year" {
  command = apply

  assert {
    condition     = aws_kms_key.this.enable_key_rotation && aws_kms_key.this.deletion_window_in_days == 7
    error_message = "the key must be renewed, and must not be lost by a slip"
  }
}

run "a_key_number_out_of_range_is_refused" {
  command = plan

  variables {
    api_keys = { canary = { number = 257, permissions = ["read"], account = 1 } }
  }

  expect_failures = [var.api_keys]
}

run "the_highest_key_number_is_taken" {
  command = plan

  variables {
    api_keys = { canary = { number = 256, permissions = ["read"], account = 1 } }
  }
}

run "a_number_given_twice_is_refused" {
  command = plan

  variables {
    api_keys = { a = { number = 5, permissions = ["read"], account = 1 }, b = { number = 5, permissions = ["read"], account = 1 } }
  }

  expect_failures = [var.api_keys]
}

run "a_permission_that_is_none_is_refused" {
  command = plan

  variables {
    api_keys = { canary = { number = 5, permissions = ["root"], account = 1 } }
  }

  expect_failures = [var.api_keys]
}

run "a_network_that_is_none_is_refused" {
  command = plan

  variables {
    api_keys = { canary = { number = 5, permissions = ["read"], account = 1, networks = ["10.0.0.0"] } }
  }

  expect_failures = [var.api_keys]
}

run "a_key_id_too_long_for_a_frame_is_refused" {
  command = plan

  variables {
    api_keys = { seventeen-letters = { number = 5, permissions = ["read"], account = 1 } }
  }

  expect_failures = [var.api_keys]
}

run "a_database_by_its_address_with_scheme_is_refused" {
  command = plan

  variables {
    database = { host = "postgres://mock.rds.internal", port = 5432, name = "ironbook" }
  }

  expect_failures = [var.database]
}

run "a_database_behind_no_port_is_refused" {
  command = plan

  variables {
    database = { host = "mock.rds.internal", port = 65536, name = "ironbook" }
  }

  expect_failures = [var.database]
}

run "a_database_without_a_name_is_refused" {
  command = plan

  variables {
    database = { host = "mock.rds.internal", port = 5432, name = "" }
  }

  expect_failures = [var.database]
}

run "a_role_that_the_schema_lacks_is_refused" {
  command = plan

  variables {
    database_roles = { analytics = "postgres" }
  }

  expect_failures = [var.database_roles]
}

run "a_principal_outside_the_contract_is_refused" {
  command = plan

  variables {
    kafka_principals = ["somebody"]
  }

  expect_failures = [var.kafka_principals]
}

run "a_certificate_for_nobody_is_refused" {
  command = plan

  variables {
    certificates = { gateway = [] }
  }

  expect_failures = [var.certificates]
}

run "half_a_process_is_refused" {
  command = plan

  variables {
    processes_count = { engine = 0.5 }
  }

  expect_failures = [var.processes_count]
}

run "no_engine_is_refused" {
  command = plan

  variables {
    processes_count = { gateway = 1 }
  }

  expect_failures = [var.processes_count]
}

run "a_recovery_window_longer_than_aws_has_is_refused" {
  command = plan

  variables {
    recovery_window_days = 31
  }

  expect_failures = [var.recovery_window_days]
}
