variable "name" {
  description = "Begins the name of everything made here: the product and its environment, as in ironbook-dev."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,31}$", var.name))
    error_message = "name must be 3 to 32 lower-case letters, digits and hyphens, and begin with a letter."
  }
}

variable "environment" {
  description = "Name of the environment: the tag ironbook:environment of the secrets that are followed (module secrets)."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,15}$", var.environment))
    error_message = "environment must be 2 to 16 lower-case letters, digits and hyphens, and begin with a letter."
  }
}

variable "vpc_id" {
  description = "ID of the VPC."
  type        = string
}

variable "vpc_cidr" {
  description = "Addresses of the VPC, in CIDR form: where Kafka, engine and database are."
  type        = string

  validation {
    condition     = can(cidrhost(var.vpc_cidr, 0))
    error_message = "vpc_cidr must be a network in CIDR form, such as 10.20.0.0/16."
  }
}

variable "subnet_ids" {
  description = "IDs of the private subnets that tasks run in."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "subnet_ids must hold at least 2 subnets, in different zones."
  }
}

variable "image" {
  description = "Container image of the workers (ops/images/streams), by digest: what was tested is what runs."
  type        = string

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.image))
    error_message = "image must end with @sha256: and 64 hex digits."
  }
}

variable "collector_image" {
  description = "Container image of the OpenTelemetry collector (AWS Distro) that runs beside each worker, by digest."
  type        = string

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.collector_image))
    error_message = "collector_image must end with @sha256: and 64 hex digits."
  }
}

variable "collector_configuration" {
  description = "Configuration of the collector, as YAML (module observability): what of a worker goes to the managed Prometheus, and how."
  type        = string

  validation {
    condition     = can(yamldecode(var.collector_configuration).service.pipelines.metrics)
    error_message = "collector_configuration must be the YAML of a collector with a pipeline called metrics."
  }
}

variable "nodes_collector_configuration" {
  description = "The same for the collector beside the submitter, which reads the engine nodes' measures too."
  type        = string

  validation {
    condition     = can(yamldecode(var.nodes_collector_configuration).service.pipelines["metrics/nodes"])
    error_message = "nodes_collector_configuration must be the YAML of a collector with a pipeline called metrics/nodes."
  }
}

variable "workers" {
  description = "Each worker's size: cpu (units; 1024 are one CPU), memory (MiB), and tasks at least and at most. risk and submitter sign with a key of their own, and a key has one live session: one task each."
  type = map(object({
    cpu_units  = number
    memory_mib = number
    count_min  = number
    count_max  = number
  }))

  validation {
    condition     = toset(keys(var.workers)) == toset(["validation", "risk", "submitter", "analytics"])
    error_message = "workers must be exactly validation, risk, submitter and analytics."
  }

  validation {
    condition     = alltrue([for worker in var.workers : contains([256, 512, 1024, 2048, 4096, 8192], worker.cpu_units)])
    error_message = "cpu_units must be 256, 512, 1024, 2048, 4096 or 8192 (1024 are one CPU)."
  }

  validation {
    condition     = alltrue([for worker in var.workers : worker.memory_mib >= 2 * worker.cpu_units && worker.memory_mib <= 8 * worker.cpu_units && worker.memory_mib % 1024 == 0])
    error_message = "memory_mib must be a multiple of 1024 MiB, two to eight times cpu_units: what Fargate has."
  }

  validation {
    condition     = alltrue([for worker in var.workers : worker.count_min >= 1 && worker.count_max >= worker.count_min && worker.count_max <= 8])
    error_message = "count_min must be at least 1 task, count_max between it and 8: a topic has 8 partitions."
  }

  validation {
    condition     = alltrue([for name in ["risk", "submitter"] : var.workers[name].count_max == 1 if contains(keys(var.workers), name)])
    error_message = "risk and submitter must have count_max 1: their key has one live session at the engine."
  }
}

variable "lag_messages_target" {
  description = "Consumer lag of a worker's main topic that scaling aims at, in messages (a message is a batch of up to hundreds of events)."
  type        = number
  default     = 200

  validation {
    condition     = var.lag_messages_target >= 10 && var.lag_messages_target <= 100000
    error_message = "lag_messages_target must be between 10 and 100000 messages."
  }
}

variable "secret_arns" {
  description = "ARN of each secret by its name, as module secrets gives them: api_key/<key id>, database/<process>, kafka/<principal>."
  type        = map(string)
}

variable "signer_keys" {
  description = "Key ids with which risk and submitter log on at the engine."
  type = object({
    risk      = string
    submitter = string
  })
}

variable "kafka_bootstrap" {
  description = "Brokers with SASL/SCRAM over TLS, host:port separated by commas."
  type        = string
}

variable "kafka_cluster_name" {
  description = "Name of the Kafka cluster, by which the lag of its consumer groups is known."
  type        = string
}

variable "engine_address" {
  description = "Where the engine takes sessions, host:port."
  type        = string

  validation {
    condition     = can(regex("^[^:/]+:[0-9]{1,5}$", var.engine_address))
    error_message = "engine_address must be host:port."
  }
}

variable "task_role_arns" {
  description = "ARN of each service's role, by service (module identity)."
  type        = map(string)
}

variable "execution_role_arn" {
  description = "ARN of the role by which ECS starts tasks (module identity)."
  type        = string
}

variable "database_ca_pem" {
  description = "Certificate of the authority that signed PostgreSQL's, as PEM: no other server is given a password."
  type        = string

  validation {
    condition     = length(regexall("-----BEGIN CERTIFICATE-----", var.database_ca_pem)) == 1 && strcontains(var.database_ca_pem, "-----END CERTIFICATE-----")
    error_message = "database_ca_pem must be one PEM certificate: -----BEGIN CERTIFICATE----- and so on."
  }
}

variable "kms_key_arn" {
  description = "ARN of the environment's KMS key; logs are encrypted with it."
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
