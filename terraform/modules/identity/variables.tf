variable "name" {
  description = "Begins the name of everything made here: the product and its environment, as in ironbook-dev."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,20}[a-z0-9]$", var.name))
    error_message = "name must be 4 to 22 lower-case letters, digits and hyphens, and begin with a letter: bucket and role names are built on it."
  }
}

variable "kms_key_arn" {
  description = "ARN of the environment's KMS key; what is stored here is encrypted with it."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:kms:", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a KMS key."
  }
}

variable "secret_arns" {
  description = "ARN of each secret by its name, as module secrets gives them: api_key/<key id>, database/<process>, kafka/<principal>, tls/<process>, cookie."
  type        = map(string)

  validation {
    condition     = alltrue([for name in keys(var.secret_arns) : name == "cookie" || can(regex("^(api_key|database|kafka|tls)/.+$", name))])
    error_message = "secret_arns must be named api_key/..., database/..., kafka/..., tls/... or cookie: who may read which follows from the name."
  }
}

variable "kafka_user_secret_arns" {
  description = "ARN of the secret of each user at Kafka, by user; rotation writes them."
  type        = map(string)
}

variable "ca_secret_arn" {
  description = "ARN of the secret with the certificate authority; rotation reads it."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:secretsmanager:", var.ca_secret_arn))
    error_message = "ca_secret_arn must be an ARN of secretsmanager."
  }
}

variable "database_admin_secret_arn" {
  description = "ARN of the secret of the database's admin; rotation reads it."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:secretsmanager:", var.database_admin_secret_arn))
    error_message = "database_admin_secret_arn must be an ARN of secretsmanager."
  }
}

variable "archive_bucket_arn" {
  description = "ARN of the archive's bucket."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:s3:", var.archive_bucket_arn))
    error_message = "archive_bucket_arn must be an ARN of s3."
  }
}

variable "reports_bucket_arn" {
  description = "ARN of the reports' bucket."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:s3:", var.reports_bucket_arn))
    error_message = "reports_bucket_arn must be an ARN of s3."
  }
}

variable "artifacts_bucket_arn" {
  description = "ARN of the bucket of releases; engine nodes install from it."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:s3:", var.artifacts_bucket_arn))
    error_message = "artifacts_bucket_arn must be an ARN of s3."
  }
}

variable "alerts_topic_arn" {
  description = "ARN of the topic of alerts; functions tell of failures there."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:sns:", var.alerts_topic_arn))
    error_message = "alerts_topic_arn must be an ARN of sns."
  }
}

variable "reports_topic_arn" {
  description = "ARN of the topic of reports; the reporting function tells of each there."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:sns:", var.reports_topic_arn))
    error_message = "reports_topic_arn must be an ARN of sns."
  }
}

variable "prometheus_workspace_arn" {
  description = "ARN of the managed Prometheus workspace; processes write their measures there and nowhere else."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:aps:[a-z0-9-]+:[0-9]{12}:workspace/[^*]+$", var.prometheus_workspace_arn))
    error_message = "prometheus_workspace_arn must be the ARN of one workspace of aps."
  }
}

variable "report_sender_identity_arn" {
  description = "ARN of the SES identity that reports are sent from; null: they are not mailed."
  type        = string
  default     = null

  validation {
    condition     = var.report_sender_identity_arn == null || can(regex("^arn:aws[a-z-]*:ses:", var.report_sender_identity_arn))
    error_message = "report_sender_identity_arn must be an ARN of SES, or null."
  }
}
