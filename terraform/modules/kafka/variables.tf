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

variable "vpc_id" {
  description = "ID of the VPC."
  type        = string

  validation {
    condition     = can(regex("^vpc-", var.vpc_id))
    error_message = "vpc_id must be the ID of a VPC (vpc-...)."
  }
}

variable "subnet_ids" {
  description = "IDs of three subnets, one a zone, without a way to the internet."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) == 3 && length(distinct(var.subnet_ids)) == 3
    error_message = "subnet_ids must be three different subnets, one a zone: a copy of the data lives in each."
  }
}

variable "client_security_groups" {
  description = "IDs of the security groups that may open connections, by who they are of. Whoever connects still has to log in."
  type        = map(string)

  validation {
    condition     = length(var.client_security_groups) > 0
    error_message = "client_security_groups must name at least one security group: nobody else can connect."
  }
}

variable "kafka_version" {
  description = "Version of the brokers, as MSK names it. Topics are made through MSK's own API, which asks for 3.6 or newer."
  type        = string

  validation {
    condition     = can(regex("^(3\\.([6-9]|[1-9][0-9])|[4-9]\\.[0-9]+)\\.(x|[0-9]+)(\\.kraft)?$", var.kafka_version))
    error_message = "kafka_version must be a version of MSK from 3.6 on, as in 3.9.x."
  }
}

variable "broker_instance_type" {
  description = "Instance type of each of the three brokers, as in kafka.m7g.large."
  type        = string

  validation {
    condition     = can(regex("^kafka\\.(t3\\.small|m5\\.[0-9]*x?large|m7g\\.[0-9]*x?large)$", var.broker_instance_type))
    error_message = "broker_instance_type must be a broker type of MSK: kafka.t3.small, kafka.m5.* or kafka.m7g.*."
  }
}

variable "broker_volume_size_gib" {
  description = "Disk of each broker at first, in GiB. Must hold what the topics keep: a week of events and the journal above the archive's manifest."
  type        = number

  validation {
    condition     = var.broker_volume_size_gib >= 10 && var.broker_volume_size_gib <= 16384 && floor(var.broker_volume_size_gib) == var.broker_volume_size_gib
    error_message = "broker_volume_size_gib must be a whole number from 10 to 16384 GiB."
  }
}

variable "broker_volume_size_max_gib" {
  description = "To how much the disk of a broker may grow by itself, in GiB; it never shrinks."
  type        = number

  validation {
    condition     = var.broker_volume_size_max_gib >= 10 && var.broker_volume_size_max_gib <= 16384 && floor(var.broker_volume_size_max_gib) == var.broker_volume_size_max_gib
    error_message = "broker_volume_size_max_gib must be a whole number from 10 to 16384 GiB."
  }
}

variable "log_retention_days" {
  description = "Days that the brokers' own logs are kept."
  type        = number

  validation {
    condition     = contains([30, 60, 90, 180, 365, 400, 731, 1827, 3653], var.log_retention_days)
    error_message = "log_retention_days must be one of 30, 60, 90, 180, 365, 400, 731, 1827, 3653 days: CloudWatch knows no other."
  }
}

variable "user_secret_arns" {
  description = "ARNs of the secrets (AmazonMSK_...) with the users that log in by SCRAM, by user name. Users come and go with them."
  type        = map(string)

  validation {
    condition     = alltrue([for arn in values(var.user_secret_arns) : can(regex(":secret:AmazonMSK_", arn))])
    error_message = "user_secret_arns must be secrets whose names begin with AmazonMSK_: MSK takes no others."
  }
}

variable "topic_prefix" {
  description = "Put before the name of every topic (dev. makes dev.executions); empty where the cluster is the environment's own."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^([a-zA-Z0-9_-]+\\.)?$", var.topic_prefix))
    error_message = "topic_prefix must be empty, or letters, digits, _ and - with a dot at the end."
  }
}
