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

variable "archive_lock_mode" {
  description = "How the archive's objects are locked: COMPLIANCE (nobody can delete them early, not even the account's owner) or GOVERNANCE (a right of its own can)."
  type        = string

  validation {
    condition     = contains(["GOVERNANCE", "COMPLIANCE"], var.archive_lock_mode)
    error_message = "archive_lock_mode must be GOVERNANCE or COMPLIANCE."
  }
}

variable "archive_lock_days" {
  description = "Days that an object of the archive cannot be deleted or overwritten. Regulators ask for five to seven years of orders."
  type        = number

  validation {
    condition     = var.archive_lock_days >= 1 && var.archive_lock_days <= 3653 && floor(var.archive_lock_days) == var.archive_lock_days
    error_message = "archive_lock_days must be a whole number from 1 to 3653 days."
  }
}

variable "infrequent_after_days" {
  description = "Days after which the archive's objects move to infrequent access; S3 takes them from 30 days on."
  type        = number

  validation {
    condition     = var.infrequent_after_days >= 30 && var.infrequent_after_days <= 365 && floor(var.infrequent_after_days) == var.infrequent_after_days
    error_message = "infrequent_after_days must be a whole number from 30 to 365 days."
  }
}

variable "glacier_after_days" {
  description = "Days after which the archive's objects move to Glacier (instant retrieval: the verifier still reads them)."
  type        = number

  validation {
    condition     = var.glacier_after_days >= 60 && var.glacier_after_days <= 1095 && floor(var.glacier_after_days) == var.glacier_after_days
    error_message = "glacier_after_days must be a whole number from 60 to 1095 days."
  }
}

variable "reports_retention_days" {
  description = "Days that reports are kept."
  type        = number

  validation {
    condition     = var.reports_retention_days >= 30 && var.reports_retention_days <= 3653 && floor(var.reports_retention_days) == var.reports_retention_days
    error_message = "reports_retention_days must be a whole number from 30 to 3653 days."
  }
}

variable "deletion_protection" {
  description = "Whether a bucket or repository that holds anything refuses to be destroyed. Off only where nobody would miss the data."
  type        = bool
}
