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

variable "alert_emails" {
  description = "Addresses that alerts are mailed to; each has to confirm once."
  type        = set(string)

  validation {
    condition     = alltrue([for address in var.alert_emails : can(regex("^[^@ ]+@[^@ ]+$", address))])
    error_message = "alert_emails must be e-mail addresses."
  }
}

variable "report_emails" {
  description = "Addresses that the link to each report is mailed to; each has to confirm once."
  type        = set(string)

  validation {
    condition     = alltrue([for address in var.report_emails : can(regex("^[^@ ]+@[^@ ]+$", address))])
    error_message = "report_emails must be e-mail addresses."
  }
}

variable "budget_monthly_usd" {
  description = "What the environment may cost a month, in US dollars; alerts at 80% of it, and when it will be passed."
  type        = number

  validation {
    condition     = var.budget_monthly_usd >= 1 && var.budget_monthly_usd <= 1000000 && floor(var.budget_monthly_usd) == var.budget_monthly_usd
    error_message = "budget_monthly_usd must be a whole number from 1 to 1000000 US dollars."
  }
}

variable "engine_instance_ids" {
  description = "IDs of the engine nodes' instances, by process (engine-0, standby-0): each has an alarm over its host and one over its heartbeat."
  type        = map(string)
}

variable "engine_measures_addresses" {
  description = "Where each engine node tells its measures, host:port, by process (module engine_node)."
  type        = map(string)

  validation {
    condition     = length(var.engine_measures_addresses) >= 1 && alltrue([for address in values(var.engine_measures_addresses) : can(regex("^[^:/]+:[0-9]{1,5}$", address))])
    error_message = "engine_measures_addresses must be host:port of at least one node."
  }
}

variable "kafka_cluster_name" {
  description = "Name of the Kafka cluster."
  type        = string
}

variable "consumer_lags_max" {
  description = "Most messages that each worker may be behind in each topic it reads, by <worker>/<topic>; its consumer group is ironbook-<worker>."
  type        = map(number)

  validation {
    condition     = alltrue([for reader, lag in var.consumer_lags_max : can(regex("^[^/]+/[^/]+$", reader)) && lag >= 1])
    error_message = "consumer_lags_max must be numbers of messages from 1 on, by <worker>/<topic>."
  }
}

variable "postgres_instance_identifier" {
  description = "Identifier of the database's instance."
  type        = string
}

variable "postgres_free_storage_min_gib" {
  description = "Free storage of the database below which there is an alarm, in GiB."
  type        = number

  validation {
    condition     = var.postgres_free_storage_min_gib >= 1 && var.postgres_free_storage_min_gib <= 10240 && floor(var.postgres_free_storage_min_gib) == var.postgres_free_storage_min_gib
    error_message = "postgres_free_storage_min_gib must be a whole number from 1 to 10240 GiB."
  }
}

variable "load_balancer_arn_suffix" {
  description = "What CloudWatch calls the gateway's load balancer: the end of its ARN, app/<name>/<id>."
  type        = string
}

variable "ecs_cluster_services" {
  description = "Each ECS service that must run, by any fixed name: its cluster's and its own name."
  type = map(object({
    cluster = string
    service = string
  }))
}

variable "function_names" {
  description = "Name of each function by its short name; errors and throttles of each have an alarm. archiver, canary and rotation must be among them: an alarm is over their silence too."
  type        = map(string)

  validation {
    condition     = alltrue([for function in ["archiver", "canary", "rotation"] : contains(keys(var.function_names), function)])
    error_message = "function_names must have archiver, canary and rotation: the alarms over functions that run every few minutes are theirs."
  }
}

variable "archive_lag_max_minutes" {
  description = "Most minutes that the archive may be behind; the node keeps what is not archived on its own disk meanwhile."
  type        = number

  validation {
    condition     = var.archive_lag_max_minutes >= 5 && var.archive_lag_max_minutes <= 1440 && floor(var.archive_lag_max_minutes) == var.archive_lag_max_minutes
    error_message = "archive_lag_max_minutes must be a whole number from 5 to 1440 minutes."
  }
}
