# Four buckets, all closed to the public, TLS only, every version kept:
#
#   archive    journal, statements, snapshots    locked: what was written can be neither changed nor deleted in its time
#   reports    what people read
#   artifacts  releases that nodes and functions install
#   logs       who read and wrote the other three, and the load balancer's log
#
#   archive:  hot ──infrequent_after_days──▶ infrequent access ──glacier_after_days──▶ Glacier, instant retrieval
#             manifest.json and the snapshots stay hot in their newest version
#
# And four repositories of container images, which release.json names by digest.

locals {
  buckets = toset(["archive", "reports", "artifacts", "logs"])
  kept    = setsubtract(local.buckets, ["logs"]) # whose accesses are logged, and that our own key encrypts

  # A lifecycle's days are counted from an object's birth; older versions from when a newer one came.
  noncurrent_days = 30
  upload_days     = 7

  images      = toset(["gateway", "streams", "verifier", "collector"])
  images_kept = 100 # a repository; a release of years ago is built again
}

data "aws_caller_identity" "this" {}

data "aws_partition" "this" {}

data "aws_region" "this" {}

resource "aws_s3_bucket" "this" {
  # checkov:skip=CKV_AWS_145:the logs' bucket must be SSE-S3, load balancers can write to no other; all others have our key
  # checkov:skip=CKV_AWS_18:the logs' bucket does not log its own accesses, that would never end
  # checkov:skip=CKV_AWS_144:copies in another region are a choice of the firm, docs/guides/terraform.md says how
  # checkov:skip=CKV2_AWS_62:nothing reacts to single objects, the functions run on a schedule
  for_each = local.buckets

  bucket              = "${var.name}-${each.key}-${data.aws_caller_identity.this.account_id}"
  force_destroy       = !var.deletion_protection
  object_lock_enabled = each.key == "archive"
}

resource "aws_s3_bucket_versioning" "this" {
  for_each = local.buckets

  bucket = aws_s3_bucket.this[each.key].id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_object_lock_configuration" "archive" {
  bucket = aws_s3_bucket.this["archive"].id

  rule {
    default_retention {
      mode = var.archive_lock_mode
      days = var.archive_lock_days
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}

resource "aws_s3_bucket_ownership_controls" "this" {
  for_each = local.buckets

  bucket = aws_s3_bucket.this[each.key].id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each = local.buckets

  bucket                  = aws_s3_bucket.this[each.key].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  for_each = local.buckets

  bucket = aws_s3_bucket.this[each.key].id

  rule {
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm     = each.key == "logs" ? "AES256" : "aws:kms"
      kms_master_key_id = each.key == "logs" ? null : var.kms_key_arn
    }
  }
}

resource "aws_s3_bucket_logging" "this" {
  for_each = local.kept

  bucket        = aws_s3_bucket.this[each.key].id
  target_bucket = aws_s3_bucket.this["logs"].id
  target_prefix = "s3/${each.key}/"
}

# ---- who may not: anybody without TLS. Who may is said by the roles in module identity.

data "aws_iam_policy_document" "bucket" {
  for_each = aws_s3_bucket.this

  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [each.value.arn, "${each.value.arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }

  dynamic "statement" {
    for_each = each.key == "logs" ? [each.value.arn] : []

    content {
      sid       = "BucketsWrite"
      actions   = ["s3:PutObject"]
      resources = ["${statement.value}/s3/*"]

      principals {
        type        = "Service"
        identifiers = ["logging.s3.amazonaws.com"]
      }

      condition {
        test     = "StringEquals"
        variable = "aws:SourceAccount"
        values   = [data.aws_caller_identity.this.account_id]
      }
    }
  }

  # A load balancer does not say for whom it writes; the account stands in the key.
  dynamic "statement" {
    for_each = each.key == "logs" ? [each.value.arn] : []

    content {
      sid       = "LoadBalancerWrites"
      actions   = ["s3:PutObject"]
      resources = ["${statement.value}/load-balancer/AWSLogs/${data.aws_caller_identity.this.account_id}/*"]

      principals {
        type        = "Service"
        identifiers = ["logdelivery.elasticloadbalancing.amazonaws.com"]
      }
    }
  }
}

resource "aws_s3_bucket_policy" "this" {
  for_each = local.buckets

  bucket = aws_s3_bucket.this[each.key].id
  policy = data.aws_iam_policy_document.bucket[each.key].json

  depends_on = [aws_s3_bucket_public_access_block.this]
}

# ---- lifecycles

resource "aws_s3_bucket_lifecycle_configuration" "archive" {
  bucket = aws_s3_bucket.this["archive"].id

  dynamic "rule" {
    for_each = toset(["journal/", "statements/", "verified/"])

    content {
      id     = "cool-${trimsuffix(rule.value, "/")}"
      status = "Enabled"

      filter {
        and {
          prefix                   = rule.value
          object_size_greater_than = 131072 # smaller ones cost more in the cooler classes than they save
        }
      }

      transition {
        days          = var.infrequent_after_days
        storage_class = "STANDARD_IA"
      }

      transition {
        days          = var.glacier_after_days
        storage_class = "GLACIER_IR"
      }
    }
  }

  # A snapshot is only of use while it is young: the journal can make it again.
  rule {
    id     = "snapshots-end"
    status = "Enabled"

    filter {
      prefix = "snapshots/"
    }

    expiration {
      days = max(90, var.infrequent_after_days)
    }
  }

  rule {
    id     = "leftovers"
    status = "Enabled"

    filter {}

    noncurrent_version_expiration {
      noncurrent_days = local.noncurrent_days
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = local.upload_days
    }
  }

  lifecycle {
    precondition {
      condition     = var.glacier_after_days >= var.infrequent_after_days + 30
      error_message = "glacier_after_days (${var.glacier_after_days} days) must be at least 30 days above infrequent_after_days (${var.infrequent_after_days} days): S3 bills that many of infrequent access."
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}

resource "aws_s3_bucket_lifecycle_configuration" "ending" {
  for_each = { reports = var.reports_retention_days, logs = 365 }

  bucket = aws_s3_bucket.this[each.key].id

  rule {
    id     = "end"
    status = "Enabled"

    filter {}

    expiration {
      days = each.value
    }

    noncurrent_version_expiration {
      noncurrent_days = local.noncurrent_days
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = local.upload_days
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}

# A release may be gone back to for as long as anybody can think of; only what failed half-way goes.
resource "aws_s3_bucket_lifecycle_configuration" "artifacts" {
  bucket = aws_s3_bucket.this["artifacts"].id

  rule {
    id     = "leftovers"
    status = "Enabled"

    filter {}

    noncurrent_version_expiration {
      noncurrent_days = local.noncurrent_days
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = local.upload_days
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}

# ---- images: the role that ECS starts tasks by may pull them (module identity), and Lambda the one that is a function

resource "aws_ecr_repository" "this" {
  for_each = local.images

  name                 = "${var.name}/${each.key}"
  image_tag_mutability = "IMMUTABLE"
  force_delete         = !var.deletion_protection

  encryption_configuration {
    encryption_type = "KMS"
    kms_key         = var.kms_key_arn
  }

  image_scanning_configuration {
    scan_on_push = true
  }
}

resource "aws_ecr_lifecycle_policy" "this" {
  for_each = local.images

  repository = aws_ecr_repository.this[each.key].name

  policy = jsonencode({ rules = [{
    rulePriority = 1
    description  = "the newest ${local.images_kept} stay"
    selection    = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = local.images_kept }
    action       = { type = "expire" }
  }] })
}

data "aws_iam_policy_document" "verifier" {
  statement {
    sid     = "LambdaPulls"
    actions = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]

    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }

    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = ["arn:${data.aws_partition.this.partition}:lambda:${data.aws_region.this.region}:${data.aws_caller_identity.this.account_id}:function:${var.name}-verifier*"]
    }
  }
}

resource "aws_ecr_repository_policy" "verifier" {
  repository = aws_ecr_repository.this["verifier"].name
  policy     = data.aws_iam_policy_document.verifier.json
}
