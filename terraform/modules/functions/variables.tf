variable "name" {
  description = "Begins the name of everything made here: the product and its environment, as in ironbook-dev."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,31}$", var.name))
    error_message = "name must be 3 to 32 lower-case letters, digits and hyphens, and begin with a letter."
  }
}

variable "vpc_id" {
  description = "ID of the VPC."
  type        = string
}

variable "vpc_cidr" {
  description = "Addresses of the VPC, in CIDR form: where Kafka, engine, gateway and database are."
  type        = string

  validation {
    condition     = can(cidrhost(var.vpc_cidr, 0))
    error_message = "vpc_cidr must be a network in CIDR form, such as 10.20.0.0/16."
  }
}

variable "subnet_ids" {
  description = "IDs of the private subnets that functions run in."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "subnet_ids must hold at least 2 subnets, in different zones."
  }
}

variable "packages_directory" {
  description = "Where make functions left <name>.zip of reporting, rotation, archiver and canary."
  type        = string
}

variable "packages_bucket_name" {
  description = "Bucket that functions are installed from (storage.artifacts_bucket_name)."
  type        = string
}

variable "verifier_image" {
  description = "Container image of the verifier (ops/images/verifier/Dockerfile) in ECR, by digest."
  type        = string

  validation {
    condition     = can(regex("\\.dkr\\.ecr\\.[a-z0-9-]+\\..*@sha256:[0-9a-f]{64}$", var.verifier_image))
    error_message = "verifier_image must be an image in ECR that ends with @sha256: and 64 hex digits."
  }
}

variable "settings" {
  description = "Settings of each function, by function and field: archive_bucket becomes IRONBOOK_FUNCTION_ARCHIVE_BUCKET. Secrets only as ARNs."
  type        = map(map(string))

  validation {
    condition     = toset(keys(var.settings)) == toset(["reporting", "rotation", "archiver", "verifier", "canary"])
    error_message = "settings must be exactly those of reporting, rotation, archiver, verifier and canary."
  }

  validation {
    condition     = alltrue(flatten([for function in var.settings : [for field, value in function : can(regex("^[a-z][a-z0-9_]*$", field))]]))
    error_message = "settings must have fields of lower-case letters, digits and underscores."
  }
}

variable "shards" {
  description = "Numbers of the shards whose journals are archived and verified, 0 to 65535: each has its own schedules, and archiver and verifier run once for each at the same time."
  type        = set(number)
  default     = [0]

  validation {
    condition     = length(var.shards) >= 1 && length(var.shards) <= 16 && alltrue([for shard in var.shards : shard >= 0 && shard <= 65535 && floor(shard) == shard])
    error_message = "shards must be 1 to 16 different whole numbers from 0 to 65535."
  }
}

variable "role_arns" {
  description = "ARN of each function's role, by function (module identity)."
  type        = map(string)
}

variable "rotated_secret_arns" {
  description = "ARN of each secret that the rotation function changes, by name."
  type        = map(string)
}

variable "rotation_days" {
  description = "Days after which a secret is changed."
  type        = number
  default     = 90

  validation {
    condition     = var.rotation_days >= 1 && var.rotation_days <= 365 && floor(var.rotation_days) == var.rotation_days
    error_message = "rotation_days must be a whole number from 1 to 365 days."
  }
}

# tflint-ignore: terraform_unused_declarations # it is here to be held against rotation_days
variable "certificate_days" {
  description = "Days that a certificate is good for (module secrets): at least two rotations."
  type        = number

  validation {
    condition     = var.certificate_days >= 2 * var.rotation_days
    error_message = "certificate_days must be at least 2 x rotation_days: a certificate that ends when its successor is begun is an outage."
  }
}

variable "report_schedule" {
  description = "When the day's report is made: six fields of an EventBridge cron, in UTC. After the verifier, which states the day from 00:30 on and takes 15 minutes at most."
  type        = string
  default     = "cron(0 2 * * ? *)"

  validation {
    condition     = can(regex("^cron\\(([^ ]+ ){5}[^ ]+\\)$", var.report_schedule))
    error_message = "report_schedule must be cron( and six fields ), such as cron(0 2 * * ? *)."
  }
}

variable "alerts_topic_arn" {
  description = "ARN of the topic that failures are told on."
  type        = string
}

variable "kms_key_arn" {
  description = "ARN of the environment's KMS key: logs, settings, and events that failed."
  type        = string
}

variable "log_retention_days" {
  description = "Days that logs are kept."
  type        = number

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be a number of days that CloudWatch Logs has, such as 30 or 365."
  }
}
