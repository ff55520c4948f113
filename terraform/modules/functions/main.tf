# The functions: each its own package, role, log group and schedule; what fails is tried again, then kept and told.

locals {
  # memory_mib also buys CPU: a whole one from 1769 on, which a large day's reports need to end in time (docs/guides/reports.md
  # has its figures, of memory too). What the others have is room. at_once: executions at the same time.
  functions = {
    reporting = { memory_mib = 2048, timeout_s = 900, temporary_mib = 10240, at_once = 2, handler = "functions.reporting.handler.handle" }
    rotation  = { memory_mib = 512, timeout_s = 300, temporary_mib = 512, at_once = 5, handler = "functions.rotation.handler.handle" }
    archiver  = { memory_mib = 1024, timeout_s = 300, temporary_mib = 2048, at_once = length(var.shards), handler = "functions.archiver.handler.handle" }
    verifier  = { memory_mib = 4096, timeout_s = 900, temporary_mib = 10240, at_once = length(var.shards), handler = null }
    canary    = { memory_mib = 256, timeout_s = 30, temporary_mib = 512, at_once = 1, handler = "functions.canary.handler.handle" }
  }
  packaged = { for function, facts in local.functions : function => facts if facts.handler != null }

  # What calls them, when and with what event. A call of each_shard is for one shard, which has its journal topic, its objects
  # and its ledger. In a file of its own, so that the functions' tests give them the very same events.
  written = jsondecode(file("${path.module}/schedules.json"))
  schedules = merge(
    { for name, schedule in local.written.once : name => merge(schedule, { when = coalesce(schedule.when, var.report_schedule) }) },
    merge([for shard in var.shards : {
      for name, schedule in local.written.each_shard : "${name}-${shard}" => merge(schedule, {
        event = merge(schedule.event, { shard = shard })
        why   = "Shard ${shard}: ${schedule.why}"
      })
    }]...),
  )
}

# ---- Packages ---------------------------------------------------------------------------------------------------------

resource "aws_s3_object" "package" {
  for_each = local.packaged

  bucket      = var.packages_bucket_name
  key         = "functions/${each.key}/${filesha256("${var.packages_directory}/${each.key}.zip")}.zip"
  source      = "${var.packages_directory}/${each.key}.zip"
  source_hash = filebase64sha256("${var.packages_directory}/${each.key}.zip")

  lifecycle {
    precondition {
      condition     = fileexists("${var.packages_directory}/${each.key}.zip")
      error_message = "packages_directory must hold ${each.key}.zip, ${var.packages_directory} does not: run make functions first."
    }
  }
}

# ---- Network and what fails -------------------------------------------------------------------------------------------

resource "aws_security_group" "this" {
  name        = "${var.name}-functions"
  description = "Functions: nothing in; Kafka, engine, gateway, database and endpoints out."
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-functions" }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_egress_rule" "this" {
  for_each = {
    https    = { port = 443, to = "0.0.0.0/0", why = "S3, Secrets Manager, SNS, SES and the gateway's load balancer." }
    kafka    = { port = 9096, to = var.vpc_cidr, why = "Kafka with SASL/SCRAM over TLS." }
    engine   = { port = 7400, to = var.vpc_cidr, why = "The engine's ingress: a new key is tried there." }
    postgres = { port = 5432, to = var.vpc_cidr, why = "PostgreSQL." }
  }

  security_group_id = aws_security_group.this.id
  description       = each.value.why
  cidr_ipv4         = each.value.to
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
}

resource "aws_sqs_queue" "dead" {
  name                      = "${var.name}-functions-dead"
  message_retention_seconds = 1209600 # 14 days
  kms_master_key_id         = var.kms_key_arn
}

# ---- Functions --------------------------------------------------------------------------------------------------------

resource "aws_cloudwatch_log_group" "this" {
  for_each = local.functions

  name              = "/aws/lambda/${var.name}-${each.key}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_lambda_function" "this" {
  # checkov:skip=CKV_AWS_272: The package's SHA-256 is in the plan and in its key; who may write the bucket is in identity.
  for_each = local.functions

  function_name                  = "${var.name}-${each.key}"
  role                           = var.role_arns[each.key]
  package_type                   = each.value.handler == null ? "Image" : "Zip"
  image_uri                      = each.value.handler == null ? var.verifier_image : null
  runtime                        = each.value.handler == null ? null : "python3.12"
  handler                        = each.value.handler
  s3_bucket                      = each.value.handler == null ? null : aws_s3_object.package[each.key].bucket
  s3_key                         = each.value.handler == null ? null : aws_s3_object.package[each.key].key
  source_code_hash               = each.value.handler == null ? null : aws_s3_object.package[each.key].source_hash
  architectures                  = ["x86_64"]
  memory_size                    = each.value.memory_mib
  timeout                        = each.value.timeout_s
  reserved_concurrent_executions = each.value.at_once
  kms_key_arn                    = var.kms_key_arn

  environment {
    variables = merge(
      { POWERTOOLS_SERVICE_NAME = each.key },
      { for field, value in var.settings[each.key] : "IRONBOOK_FUNCTION_${upper(field)}" => value },
    )
  }

  ephemeral_storage {
    size = each.value.temporary_mib
  }

  lifecycle {
    precondition {
      condition     = sum(concat([0], [for field, value in var.settings[each.key] : length("IRONBOOK_FUNCTION_${field}=${value}")])) <= 3900
      error_message = "settings of ${each.key} must be at most 3900 characters with their names: Lambda has 4 KiB for all variables (is database_ca_pem one certificate?)."
    }
  }

  vpc_config {
    subnet_ids         = var.subnet_ids
    security_group_ids = [aws_security_group.this.id]
  }

  dead_letter_config {
    target_arn = aws_sqs_queue.dead.arn
  }

  tracing_config {
    mode = "Active"
  }

  logging_config {
    log_format = "JSON"
    log_group  = aws_cloudwatch_log_group.this[each.key].name
  }
}

resource "aws_lambda_function_event_invoke_config" "this" {
  for_each = local.functions

  function_name                = aws_lambda_function.this[each.key].function_name
  maximum_retry_attempts       = 2
  maximum_event_age_in_seconds = 3600

  destination_config {
    on_failure {
      destination = var.alerts_topic_arn
    }
  }
}

# ---- Schedules --------------------------------------------------------------------------------------------------------

resource "aws_cloudwatch_event_rule" "this" {
  for_each = local.schedules

  name                = "${var.name}-${each.key}"
  description         = each.value.why
  schedule_expression = each.value.when
}

resource "aws_cloudwatch_event_target" "this" {
  for_each = local.schedules

  rule  = aws_cloudwatch_event_rule.this[each.key].name
  arn   = aws_lambda_function.this[each.value.function].arn
  input = jsonencode(each.value.event)

  retry_policy {
    maximum_event_age_in_seconds = 3600
    maximum_retry_attempts       = 2
  }
}

resource "aws_lambda_permission" "schedule" {
  for_each = local.schedules

  statement_id  = "schedule-${each.key}"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.this[each.value.function].function_name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.this[each.key].arn
}

# ---- Rotation ---------------------------------------------------------------------------------------------------------

data "aws_caller_identity" "this" {}

resource "aws_lambda_permission" "rotation" {
  statement_id   = "rotation"
  action         = "lambda:InvokeFunction"
  function_name  = aws_lambda_function.this["rotation"].function_name
  principal      = "secretsmanager.amazonaws.com"
  source_account = data.aws_caller_identity.this.account_id
}

resource "aws_secretsmanager_secret_rotation" "this" {
  # checkov:skip=CKV_AWS_304:the days are a variable with a range, which this check does not resolve through modules
  for_each = var.rotated_secret_arns

  secret_id           = each.value
  rotation_lambda_arn = aws_lambda_function.this["rotation"].arn
  rotate_immediately  = false # a first rotation needs processes that hold the secret

  rotation_rules {
    automatically_after_days = var.rotation_days
  }

  depends_on = [aws_lambda_permission.rotation]
}
