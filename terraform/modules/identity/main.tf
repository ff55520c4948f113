# One role for each process and function, with what it needs and nothing else. What that is stands in permissions.json, with
# the reason of each line; the policies below and the table in README.md are made of it.

locals {
  permissions = jsondecode(file("${path.module}/permissions.json"))

  account   = "${data.aws_region.this.region}:${data.aws_caller_identity.this.account_id}"
  partition = data.aws_partition.this.partition

  # Names that permissions.json uses for resources. secret:<name> and secret:<kind>/* are looked up in var.secret_arns;
  # <bucket>/<keys> is a bucket's ARN with those keys behind it.
  resources = {
    "any"            = ["*"]
    "key"            = [var.kms_key_arn]
    "ca"             = [var.ca_secret_arn]
    "database-admin" = [var.database_admin_secret_arn]
    "kafka-users"    = values(var.kafka_user_secret_arns)
    "alerts"         = [var.alerts_topic_arn]
    "reports-topic"  = [var.reports_topic_arn]
    "dead-letters"   = ["arn:${local.partition}:sqs:${local.account}:${var.name}-functions-dead"]
    "sender"         = var.report_sender_identity_arn == null ? [] : [var.report_sender_identity_arn]
    "prometheus"     = [var.prometheus_workspace_arn]
    "images"         = ["arn:${local.partition}:ecr:${local.account}:repository/${var.name}/*"]
    "task-logs"      = ["arn:${local.partition}:logs:${local.account}:log-group:/ecs/${var.name}-*:*"]
  }
  buckets = { archive = var.archive_bucket_arn, reports = var.reports_bucket_arn, artifacts = var.artifacts_bucket_arn }

  # Who, by the name of the role, with its lines; lines whose resources this environment has none of fall away.
  wanted = merge(
    { engine = local.permissions.engine, execution = local.permissions.execution },
    { for service, lines in local.permissions.tasks : "task-${service}" => lines },
    { for function, lines in local.permissions.functions : "function-${function}" => lines },
  )
  statements = {
    for who, lines in local.wanted : who => [
      for line in [
        for line in lines : {
          actions   = line.actions
          namespace = try(line.namespace, null)
          resources = flatten([
            for resource in line.resources :
            startswith(resource, "secret:")
            ? [for name, arn in var.secret_arns : arn if can(regex("^${replace(trimprefix(resource, "secret:"), "*", ".*")}$", name))]
            : resource == "function-log"
            ? ["arn:${local.partition}:logs:${local.account}:log-group:/aws/lambda/${var.name}-${trimprefix(who, "function-")}:*"]
            : contains(keys(local.resources), resource)
            ? local.resources[resource]
            : [replace(resource, "/^[a-z]+/", local.buckets[regex("^[a-z]+", resource)])]
          ])
        }
      ] : line if length(line.resources) > 0
    ]
  }

  trusted = merge(
    { engine = "ec2.amazonaws.com", execution = "ecs-tasks.amazonaws.com" },
    { for service in keys(local.permissions.tasks) : "task-${service}" => "ecs-tasks.amazonaws.com" },
    { for function in keys(local.permissions.functions) : "function-${function}" => "lambda.amazonaws.com" },
  )
}

data "aws_caller_identity" "this" {}

data "aws_partition" "this" {}

data "aws_region" "this" {}

data "aws_iam_policy_document" "trust" {
  for_each = local.trusted

  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = [each.value]
    }

    # Only for this account's own tasks, as ECS asks for. EC2 does not say for whom it takes a role; machines and functions are given
    # one by whoever may pass it, which nobody can from one account to another.
    dynamic "condition" {
      for_each = each.value == "ecs-tasks.amazonaws.com" ? [data.aws_caller_identity.this.account_id] : []

      content {
        test     = "StringEquals"
        variable = "aws:SourceAccount"
        values   = [condition.value]
      }
    }
  }
}

data "aws_iam_policy_document" "this" {
  # checkov:skip=CKV_AWS_356:* stands only where AWS knows no narrower resource, permissions.json says so line by line
  # checkov:skip=CKV_AWS_111:as above: network interfaces of functions, traces, measures (bound to a namespace)
  for_each = local.statements

  dynamic "statement" {
    for_each = each.value

    content {
      actions   = statement.value.actions
      resources = statement.value.resources

      dynamic "condition" {
        for_each = statement.value.namespace == null ? [] : [statement.value.namespace]

        content {
          test     = "StringEquals"
          variable = "cloudwatch:namespace"
          values   = [condition.value]
        }
      }
    }
  }
}

# ---- the engine node

resource "aws_iam_role" "engine" {
  name               = "${var.name}-engine"
  description        = "Engine nodes of ${var.name}"
  assume_role_policy = data.aws_iam_policy_document.trust["engine"].json
}

resource "aws_iam_role_policy" "engine" {
  name   = "needs"
  role   = aws_iam_role.engine.id
  policy = data.aws_iam_policy_document.this["engine"].json
}

# Sessions for people come through Systems Manager: no SSH, no port that is open.
resource "aws_iam_role_policy_attachment" "engine_sessions" {
  role       = aws_iam_role.engine.name
  policy_arn = "arn:${local.partition}:iam::aws:policy/AmazonSSMManagedInstanceCore"
}

resource "aws_iam_instance_profile" "engine" {
  name = "${var.name}-engine"
  role = aws_iam_role.engine.name
}

# ---- services

resource "aws_iam_role" "execution" {
  name               = "${var.name}-execution"
  description        = "By which ECS starts the tasks of ${var.name}"
  assume_role_policy = data.aws_iam_policy_document.trust["execution"].json
}

resource "aws_iam_role_policy" "execution" {
  name   = "needs"
  role   = aws_iam_role.execution.id
  policy = data.aws_iam_policy_document.this["execution"].json
}

resource "aws_iam_role" "task" {
  for_each = local.permissions.tasks

  name               = "${var.name}-task-${each.key}"
  description        = "The process ${each.key} of ${var.name}"
  assume_role_policy = data.aws_iam_policy_document.trust["task-${each.key}"].json
}

resource "aws_iam_role_policy" "task" {
  for_each = aws_iam_role.task

  name   = "needs"
  role   = each.value.id
  policy = data.aws_iam_policy_document.this["task-${each.key}"].json
}

# ---- functions

resource "aws_iam_role" "function" {
  for_each = local.permissions.functions

  name               = "${var.name}-function-${each.key}"
  description        = "The function ${each.key} of ${var.name}"
  assume_role_policy = data.aws_iam_policy_document.trust["function-${each.key}"].json
}

resource "aws_iam_role_policy" "function" {
  for_each = aws_iam_role.function

  name   = "needs"
  role   = each.value.id
  policy = data.aws_iam_policy_document.this["function-${each.key}"].json
}
