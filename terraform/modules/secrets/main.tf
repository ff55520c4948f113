# The environment's key, and its secrets: each a JSON object in Secrets Manager, under tags that say what it is.
#
#   <name>/api_key/<key id>      {"key_id","secret","number","permissions","account","networks"}
#   <name>/database/<process>    {"host","port","dbname","username","password","users","role"}      users: two, in turn
#   <name>/kafka/<principal>     {"username","password","mechanism","users","principal"}            users: two, in turn
#   <name>/tls/<process>         {"certificate","private_key","names","days"}                       empty until first signed
#   <name>/cookie                {"secret"}
#   <name>/ca                    {"certificate","private_key"}    the firm's authority: put there by hand
#   AmazonMSK_<name>_<user>      {"username","password"}          what MSK itself reads, one for each user
#
# The first values are made here and written once: attributes ending in _wo are handed to AWS and kept nowhere, neither in
# the plan nor in the state. From then on the values are the rotation function's, and Terraform never looks at them again.
# uuid() is made from the system's random source, 122 bits at least; three of them hashed fill 256 bits.

locals {
  kafka_user_prefix = "AmazonMSK_${var.name}_"
  verifiers         = ["engine", "gateway", "validation", "risk"] # they let others in by an API key, so they hold all of them

  users = {
    database = { for process in keys(var.database_roles) : process => [for turn in ["a", "b"] : "${process}_${turn}"] }
    kafka    = { for principal in var.kafka_principals : principal => [for turn in ["a", "b"] : "${principal}_${turn}"] }
  }

  # Two resources carry a Kafka user's password, so it is made once, here; a local has one value in an apply.
  kafka_passwords = { for user in flatten(values(local.users.kafka)) : user => sha256("${uuid()}${uuid()}${uuid()}") }

  secrets = merge(
    { for id in keys(var.api_keys) : "api_key/${id}" => { kind = "api_key", of = id, about = "Signs orders and questions as ${id}" } },
    { for process in keys(var.database_roles) : "database/${process}" => { kind = "database", of = process, about = "By which ${process} logs in at PostgreSQL" } },
    { for principal in var.kafka_principals : "kafka/${principal}" => { kind = "kafka", of = principal == "subscriber" ? "gateway" : principal, about = "By which ${principal} logs in at Kafka" } },
    { for process in keys(var.certificates) : "tls/${process}" => { kind = "tls", of = process, about = "Certificate that ${process} shows" } },
    { "cookie" = { kind = "cookie", of = "gateway", about = "Signs the dashboard's logins" } },
  )

  # What a new secret waits for, as the rotation function reads it: so many must hold it, so many must use it. A key with a
  # number (gateway-2) may be one of a process that only runs under load: its users are waited for where they are, not demanded.
  holding = {
    api_key = [for process in local.verifiers : process if contains(keys(var.processes_count), process)]
    cookie  = [for process in ["gateway"] : process if contains(keys(var.processes_count), process)]
  }
  tags = {
    for name, secret in local.secrets : name => merge(
      { "ironbook:kind" = secret.kind, "ironbook:environment" = var.environment },
      # empty: nobody tells, so there is nobody to wait for (what only functions read)
      length(lookup(local.holding, secret.kind, [])) == 0 && contains(keys(var.processes_count), secret.of) ? {} : {
        "ironbook:holders" = join(" ", [for process in lookup(local.holding, secret.kind, []) : "${process}=${var.processes_count[process]}"])
      },
      !contains(keys(var.processes_count), secret.of) ? {} : {
        "ironbook:users" = "${secret.of}=${var.processes_count[secret.of]}"
      },
    )
  }
}

# ---- the key

data "aws_caller_identity" "this" {}

data "aws_partition" "this" {}

data "aws_region" "this" {}

data "aws_iam_policy_document" "key" {
  # checkov:skip=CKV_AWS_109:a key's policy is about that key alone, and without its owner nobody could ever change it
  # checkov:skip=CKV_AWS_111:as above
  # checkov:skip=CKV_AWS_356:as above; in a key's policy * means this key
  statement {
    sid       = "Owner"
    actions   = ["kms:*"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["arn:${data.aws_partition.this.partition}:iam::${data.aws_caller_identity.this.account_id}:root"]
    }
  }

  statement {
    sid       = "Logs"
    actions   = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
    resources = ["*"]

    principals {
      type        = "Service"
      identifiers = ["logs.${data.aws_region.this.region}.amazonaws.com"]
    }

    condition {
      test     = "ArnLike"
      variable = "kms:EncryptionContext:aws:logs:arn"
      values   = ["arn:${data.aws_partition.this.partition}:logs:${data.aws_region.this.region}:${data.aws_caller_identity.this.account_id}:*"]
    }
  }

  # Alarms, budgets and schedules publish to an encrypted topic, and failed events to an encrypted queue.
  statement {
    sid       = "Alerts"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey*"]
    resources = ["*"]

    principals {
      type        = "Service"
      identifiers = ["cloudwatch.amazonaws.com", "budgets.amazonaws.com", "events.amazonaws.com", "sns.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.this.account_id]
    }
  }
}

resource "aws_kms_key" "this" {
  description             = "Everything that ${var.name} stores"
  enable_key_rotation     = true
  deletion_window_in_days = max(7, var.recovery_window_days)
  policy                  = data.aws_iam_policy_document.key.json
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.name}"
  target_key_id = aws_kms_key.this.key_id
}

# ---- the secrets

resource "aws_secretsmanager_secret" "this" {
  # checkov:skip=CKV2_AWS_57:rotation is attached in module functions, where the function is that does it
  for_each = local.secrets

  name                    = "${var.name}/${each.key}"
  description             = each.value.about
  kms_key_id              = aws_kms_key.this.arn
  recovery_window_in_days = var.recovery_window_days

  tags = local.tags[each.key]
}

resource "aws_secretsmanager_secret_version" "api_key" {
  for_each = var.api_keys

  secret_id                = aws_secretsmanager_secret.this["api_key/${each.key}"].id
  secret_string_wo_version = 1
  secret_string_wo = jsonencode({
    key_id      = each.key
    secret      = sha256("${uuid()}${uuid()}${uuid()}")
    number      = each.value.number
    permissions = each.value.permissions
    account     = each.value.account
    networks    = each.value.networks
  })
}

resource "aws_secretsmanager_secret_version" "database" {
  for_each = var.database_roles

  secret_id                = aws_secretsmanager_secret.this["database/${each.key}"].id
  secret_string_wo_version = 1
  secret_string_wo = jsonencode({
    host     = var.database.host
    port     = var.database.port
    dbname   = var.database.name
    username = local.users.database[each.key][0]
    password = sha256("${uuid()}${uuid()}${uuid()}")
    users    = local.users.database[each.key]
    role     = each.value
  })
}

resource "aws_secretsmanager_secret_version" "kafka" {
  for_each = var.kafka_principals

  secret_id                = aws_secretsmanager_secret.this["kafka/${each.key}"].id
  secret_string_wo_version = 1
  secret_string_wo = jsonencode({
    username  = local.users.kafka[each.key][0]
    password  = local.kafka_passwords[local.users.kafka[each.key][0]]
    mechanism = "SCRAM-SHA-512"
    users     = local.users.kafka[each.key]
    principal = each.key
  })
}

resource "aws_secretsmanager_secret_version" "tls" {
  for_each = var.certificates

  secret_id                = aws_secretsmanager_secret.this["tls/${each.key}"].id
  secret_string_wo_version = 1
  secret_string_wo         = jsonencode({ certificate = "", private_key = "", names = each.value, days = var.certificate_days })
}

resource "aws_secretsmanager_secret_version" "cookie" {
  secret_id                = aws_secretsmanager_secret.this["cookie"].id
  secret_string_wo_version = 1
  secret_string_wo         = jsonencode({ secret = sha256("${uuid()}${uuid()}${uuid()}") })
}

# ---- what no follower reads: the authority, and MSK's own list of users

resource "aws_secretsmanager_secret" "ca" {
  # checkov:skip=CKV2_AWS_57:the firm's own authority signs for years and is changed by people, docs/guides/terraform.md says how
  name                    = "${var.name}/ca"
  description             = "The firm's certificate authority, which signs the certificates of ${var.name}"
  kms_key_id              = aws_kms_key.this.arn
  recovery_window_in_days = var.recovery_window_days
}

resource "aws_secretsmanager_secret" "kafka_user" {
  # checkov:skip=CKV2_AWS_57:the rotation of a principal writes the password of its other user here
  for_each = toset(flatten(values(local.users.kafka)))

  name                    = "${local.kafka_user_prefix}${each.key}"
  description             = "The user ${each.key}, as MSK reads it"
  kms_key_id              = aws_kms_key.this.arn
  recovery_window_in_days = var.recovery_window_days
}

resource "aws_secretsmanager_secret_version" "kafka_user" {
  for_each = aws_secretsmanager_secret.kafka_user

  secret_id                = each.value.id
  secret_string_wo_version = 1
  secret_string_wo         = jsonencode({ username = each.key, password = local.kafka_passwords[each.key] })
}

# MSK reads its users' secrets itself. This is word for word the policy that it puts on a secret once the cluster is told of it, and
# asks not to change: with another one, also one that has a condition on the account, it may be shut out.
data "aws_iam_policy_document" "kafka_user" {
  # checkov:skip=CKV_AWS_108:MSK alone, one secret; the finding is about the spelling that MSK uses
  for_each = aws_secretsmanager_secret.kafka_user

  statement {
    sid       = "AWSKafkaResourcePolicy"
    actions   = ["secretsmanager:getSecretValue"]
    resources = [each.value.arn]

    principals {
      type        = "Service"
      identifiers = ["kafka.amazonaws.com"]
    }
  }
}

resource "aws_secretsmanager_secret_policy" "kafka_user" {
  for_each = aws_secretsmanager_secret.kafka_user

  secret_arn = each.value.arn
  policy     = data.aws_iam_policy_document.kafka_user[each.key].json
}
