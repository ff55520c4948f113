mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name                      = "ironbook-test"
  kms_key_arn               = "arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-0000-0000-000000000000"
  secret_arns               = { "api_key/canary" = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:canary", "api_key/submitter" = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:submitter", "cookie" = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:cookie", "database/analytics" = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:analytics", "kafka/archiver" = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:archiver", "kafka/operator" = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:operator", "tls/gateway" = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:tls" }
  kafka_user_secret_arns    = { analytics_a = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:AmazonMSK_x" }
  ca_secret_arn             = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:ca"
  database_admin_secret_arn = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:admin"
  archive_bucket_arn        = "arn:aws:s3:::archive"
  reports_bucket_arn        = "arn:aws:s3:::reports"
  artifacts_bucket_arn      = "arn:aws:s3:::artifacts"
  alerts_topic_arn          = "arn:aws:sns:eu-central-1:111122223333:alerts"
  reports_topic_arn         = "arn:aws:sns:eu-central-1:111122223333:reports"
  prometheus_workspace_arn  = "arn:aws:aps:eu-central-1:111122223333:workspace/ws-00000000-0000-0000-0000-000000000000"
}

run "there_is_a_role_for_each_process_and_function" {
  command = apply

  assert {
    condition     = keys(output.task_role_arns) == ["analytics", "gateway", "risk", "submitter", "validation"]
    error_message = "one role for each service"
  }

  assert {
    condition     = keys(output.function_role_arns) == ["archiver", "canary", "reporting", "rotation", "verifier"]
    error_message = "one role for each function"
  }
}

run "each_reads_its_own_secrets_only" {
  command = apply

  assert {
    condition     = flatten([for statement in data.aws_iam_policy_document.this["task-submitter"].statement : statement.resources if contains(statement.actions, "secretsmanager:GetSecretValue")]) == ["arn:aws:secretsmanager:eu-central-1:111122223333:secret:submitter"]
    error_message = "the submitter must read the key that it signs with, and no other"
  }

  assert {
    condition     = toset(flatten([for statement in data.aws_iam_policy_document.this["task-gateway"].statement : statement.resources if contains(statement.actions, "secretsmanager:GetSecretValue")])) == toset(["arn:aws:secretsmanager:eu-central-1:111122223333:secret:canary", "arn:aws:secretsmanager:eu-central-1:111122223333:secret:submitter", "arn:aws:secretsmanager:eu-central-1:111122223333:secret:tls", "arn:aws:secretsmanager:eu-central-1:111122223333:secret:cookie"])
    error_message = "the gateway must read every key that it checks, its certificate and the secret of cookies"
  }

  assert {
    condition     = flatten([for statement in data.aws_iam_policy_document.this["function-canary"].statement : statement.resources if contains(statement.actions, "secretsmanager:GetSecretValue")]) == ["arn:aws:secretsmanager:eu-central-1:111122223333:secret:canary"]
    error_message = "the canary must read its own key, and no other"
  }

  assert {
    condition     = flatten([for statement in data.aws_iam_policy_document.this["function-archiver"].statement : statement.resources if contains(statement.actions, "secretsmanager:GetSecretValue")]) == ["arn:aws:secretsmanager:eu-central-1:111122223333:secret:archiver"]
    error_message = "the archiver must read its own login at Kafka, and no other"
  }

  assert {
    condition     = [for who, document in data.aws_iam_policy_document.this : who if anytrue([for statement in document.statement : contains(statement.resources, "arn:aws:secretsmanager:eu-central-1:111122223333:secret:operator")])] == ["function-rotation"]
    error_message = "nobody but rotation, which makes users and their rights, may log on as Kafka's administrator"
  }
}

run "only_rotation_writes_secrets_and_only_archiver_and_verifier_write_the_archives_records" {
  command = apply

  assert {
    condition     = [for who, document in data.aws_iam_policy_document.this : who if anytrue([for statement in document.statement : contains(statement.actions, "secretsmanager:PutSecretValue")])] == ["function-rotation"]
    error_message = "nobody but rotation may write secrets"
  }

  assert {
    condition     = [for who, document in data.aws_iam_policy_document.this : who if anytrue([for statement in document.statement : contains(statement.actions, "s3:PutObject") && anytrue([for resource in statement.resources : startswith(resource, "arn:aws:s3:::archive/") && resource != "arn:aws:s3:::archive/snapshots/*"])])] == ["function-archiver", "function-verifier"]
    error_message = "nobody but archiver and verifier may write the archive"
  }

  assert {
    condition     = !anytrue(flatten([for document in data.aws_iam_policy_document.this : [for statement in document.statement : [for action in statement.actions : endswith(action, "*") || startswith(action, "s3:Delete") || startswith(action, "iam:")]]]))
    error_message = "nobody may delete objects, change rights, or do whatever an asterisk stands for"
  }
}

run "only_reporting_tells_of_reports" {
  command = apply

  assert {
    condition     = [for who, document in data.aws_iam_policy_document.this : who if anytrue([for statement in document.statement : contains(statement.actions, "sns:Publish") && contains(statement.resources, var.reports_topic_arn)])] == ["function-reporting"]
    error_message = "reporting, and nobody else, must be let publish to the topic of reports"
  }
}

run "without_a_sender_nobody_may_mail" {
  command = apply

  assert {
    condition     = !anytrue(flatten([for document in data.aws_iam_policy_document.this : [for statement in document.statement : contains(statement.actions, "ses:SendEmail")]]))
    error_message = "a line whose resource is not there must fall away"
  }
}

run "with_a_sender_reporting_may_mail_from_it" {
  command = apply

  variables {
    report_sender_identity_arn = "arn:aws:ses:eu-central-1:111122223333:identity/example.com"
  }

  assert {
    condition     = anytrue([for statement in data.aws_iam_policy_document.this["function-reporting"].statement : contains(statement.actions, "ses:SendEmail") && contains(statement.resources, "arn:aws:ses:eu-central-1:111122223333:identity/example.com")])
    error_message = "reporting must be let mail from the sender"
  }
}

run "measures_go_into_our_namespace_only" {
  command = apply

  assert {
    condition     = alltrue([for statement in data.aws_iam_policy_document.this["engine"].statement : one(statement.condition).values == tolist(["Ironbook"]) if contains(statement.actions, "cloudwatch:PutMetricData")])
    error_message = "the engine must write measures of Ironbook only"
  }
}

run "who_has_measures_of_its_own_writes_them_to_this_workspace_and_reads_none" {
  command = apply

  assert {
    condition     = toset([for who, document in data.aws_iam_policy_document.this : who if anytrue([for statement in document.statement : contains(statement.actions, "aps:RemoteWrite")])]) == toset(["task-analytics", "task-gateway", "task-risk", "task-submitter", "task-validation"])
    error_message = "services, and nobody else, must write measures"
  }
  assert {
    condition     = alltrue(flatten([for document in data.aws_iam_policy_document.this : [for statement in document.statement : toset(statement.actions) == toset(["aps:RemoteWrite"]) && toset(statement.resources) == toset([var.prometheus_workspace_arn]) if anytrue([for action in statement.actions : startswith(action, "aps:")])]]))
    error_message = "they must write to this workspace, and do nothing else with it"
  }
}

run "every_workspace_is_refused" {
  command = plan

  variables {
    prometheus_workspace_arn = "arn:aws:aps:eu-central-1:111122223333:workspace/*"
  }

  expect_failures = [var.prometheus_workspace_arn]
}

run "a_secret_whose_name_says_nothing_is_refused" {
  command = plan

  variables {
    secret_arns = { mystery = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:x" }
  }

  expect_failures = [var.secret_arns]
}

run "a_bucket_that_is_no_arn_is_refused" {
  command = plan

  variables {
    archive_bucket_arn = "archive"
  }

  expect_failures = [var.archive_bucket_arn]
}

run "a_topic_that_is_no_arn_is_refused" {
  command = plan

  variables {
    alerts_topic_arn = "alerts"
  }

  expect_failures = [var.alerts_topic_arn]
}

run "a_topic_of_reports_that_is_no_arn_is_refused" {
  command = plan

  variables {
    reports_topic_arn = "reports"
  }

  expect_failures = [var.reports_topic_arn]
}

run "a_sender_that_is_no_arn_is_refused" {
  command = plan

  variables {
    report_sender_identity_arn = "reports@example.com"
  }

  expect_failures = [var.report_sender_identity_arn]
}
