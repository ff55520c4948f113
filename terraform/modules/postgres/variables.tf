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

variable "instance_class" {
  description = "Class of the instance, as in db.m7g.large; the standby of a multi-AZ instance is of the same."
  type        = string

  validation {
    condition     = can(regex("^db\\.[a-z0-9]+\\.[0-9a-z]+$", var.instance_class))
    error_message = "instance_class must be a class of RDS, as in db.m7g.large."
  }
}

variable "storage_size_gib" {
  description = "Storage at first, in GiB."
  type        = number

  validation {
    condition     = var.storage_size_gib >= 20 && var.storage_size_gib <= 65536 && floor(var.storage_size_gib) == var.storage_size_gib
    error_message = "storage_size_gib must be a whole number from 20 to 65536 GiB."
  }
}

variable "storage_size_max_gib" {
  description = "To how much the storage may grow by itself, in GiB."
  type        = number

  validation {
    condition     = var.storage_size_max_gib >= 20 && var.storage_size_max_gib <= 65536 && floor(var.storage_size_max_gib) == var.storage_size_max_gib
    error_message = "storage_size_max_gib must be a whole number from 20 to 65536 GiB."
  }
}

variable "multi_az" {
  description = "Whether a standby in another zone takes over by itself. Production and staging: yes. It doubles the cost of the instance."
  type        = bool
}

variable "backup_retention_days" {
  description = "Days to any second of which the database can be put back."
  type        = number

  validation {
    condition     = var.backup_retention_days >= 1 && var.backup_retention_days <= 35 && floor(var.backup_retention_days) == var.backup_retention_days
    error_message = "backup_retention_days must be a whole number from 1 to 35 days."
  }
}

variable "deletion_protection" {
  description = "Whether destroying it is refused. Off only where nobody would miss the data."
  type        = bool
}

variable "log_retention_days" {
  description = "Days that PostgreSQL's logs are kept."
  type        = number

  validation {
    condition     = contains([30, 60, 90, 180, 365, 400, 731, 1827, 3653], var.log_retention_days)
    error_message = "log_retention_days must be one of 30, 60, 90, 180, 365, 400, 731, 1827, 3653 days: CloudWatch knows no other."
  }
}
