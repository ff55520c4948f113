variable "name" {
  description = "Prefix of every name, such as ironbook-production."
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
  description = "The VPC of both nodes."
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
  description = "Private subnets in two zones: the primary's, then the standby's."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 2 && length(distinct(var.subnet_ids)) == length(var.subnet_ids)
    error_message = "subnet_ids must hold at least two different subnets: the primary's and the standby's."
  }
}

variable "zone_names" {
  description = "The availability zones of subnet_ids, in the same order."
  type        = list(string)

  validation {
    condition     = length(var.zone_names) >= 2 && var.zone_names[0] != var.zone_names[1]
    error_message = "zone_names must begin with two different zones: the loss of one must leave a node."
  }
}

variable "instance_type" {
  description = "A bare-metal type: below a hypervisor others take the CPU away, and kernel and device settings are not ours."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9-]+\\.metal(-[0-9]+xl)?$", var.instance_type))
    error_message = "instance_type must be bare metal, such as c6i.metal or m7i.metal-24xl."
  }
}

variable "image_id" {
  description = "Amazon machine image of Debian 12 (amd64). Given, not looked up: a newer image must not replace a node by itself."
  type        = string

  validation {
    condition     = can(regex("^ami-[0-9a-f]{8,17}$", var.image_id))
    error_message = "image_id must be ami- and 8 to 17 hex digits."
  }
}

variable "standby" {
  description = "Whether a second machine in another zone stands ready. It doubles the cost; without it, the loss of the machine is an outage until another is made."
  type        = bool
}

variable "journal_disk" {
  description = "Where the journal lies: ebs (survives the machine) or instance_store (local NVMe: faster syncs, lost with the machine, so only with survival_level cluster)."
  type        = string

  validation {
    condition     = contains(["ebs", "instance_store"], var.journal_disk)
    error_message = "journal_disk must be ebs or instance_store."
  }

  validation {
    condition     = var.journal_disk != "instance_store" || can(regex("^([a-z][0-9]+[a-z-]*d[a-z]*|i[0-9][a-z]*|z1d)\\.", var.instance_type))
    error_message = "journal_disk instance_store needs an instance type with local NVMe disks, such as c6id.metal or i4i.metal."
  }

  validation {
    condition     = var.journal_disk != "instance_store" || var.survival_level == "cluster"
    error_message = "journal_disk instance_store needs survival_level cluster: a local disk is gone with its machine."
  }
}

variable "journal_volume_size_gib" {
  description = "Size of the journal's EBS volume, in GiB. Must hold the records that the archive does not have yet, at peak rate, and the snapshots. Unused with instance_store."
  type        = number
  default     = 256

  validation {
    condition     = var.journal_volume_size_gib >= 64 && var.journal_volume_size_gib <= 16384
    error_message = "journal_volume_size_gib must be between 64 and 16384 GiB."
  }
}

variable "journal_volume_iops" {
  description = "Input and output operations a second of the journal's EBS volume (gp3): each group of records is one write and one flush."
  type        = number
  default     = 6000

  validation {
    condition     = var.journal_volume_iops >= 3000 && var.journal_volume_iops <= 16000
    error_message = "journal_volume_iops must be between 3000 and 16000 operations a second."
  }
}

variable "survival_level" {
  description = "What an acknowledgement survives: process, disk (loss of power) or cluster (loss of the machine; a round trip to Kafka)."
  type        = string

  validation {
    condition     = contains(["process", "disk", "cluster"], var.survival_level)
    error_message = "survival_level must be process, disk or cluster."
  }
}

variable "cpus" {
  description = "CPU numbers: the engine's own (isolated), the sync thread's, the helpers'. All on one NUMA node; CPU 0 serves interrupts."
  type = object({
    engine     = number
    sync       = number
    background = number
  })
  default = { engine = 3, sync = 2, background = 1 }

  validation {
    condition     = length(distinct([var.cpus.engine, var.cpus.sync, var.cpus.background, 0])) == 4
    error_message = "cpus must be three different CPU numbers above 0."
  }

  validation {
    condition     = alltrue([for cpu in [var.cpus.engine, var.cpus.sync, var.cpus.background] : cpu >= 1 && cpu <= 23 && floor(cpu) == cpu])
    error_message = "cpus must be whole numbers from 1 to 23: the first NUMA node of every metal type."
  }
}

variable "shard" {
  description = "Number of the shard that these nodes serve, 0 to 65535. Kept in the journal; cannot change."
  type        = number
  default     = 0

  validation {
    condition     = var.shard >= 0 && var.shard <= 65535 && floor(var.shard) == var.shard
    error_message = "shard must be a whole number from 0 to 65535."
  }
}

variable "active_node" {
  description = "Which node the name engine.<name>.internal leads to: primary or standby. Changed by whoever fails over."
  type        = string
  default     = "primary"

  validation {
    condition     = var.active_node == "primary" || var.standby
    error_message = "active_node standby needs a standby: standby must be true."
  }

  validation {
    condition     = contains(["primary", "standby"], var.active_node)
    error_message = "active_node must be primary or standby."
  }
}

variable "bundle" {
  description = "The release that a node installs: S3 address of what make bundle builds, and its SHA-256 (64 hex digits)."
  type = object({
    uri    = string
    sha256 = string
  })

  validation {
    condition     = can(regex("^s3://[a-z0-9][a-z0-9.-]{2,62}/.+\\.tar\\.gz$", var.bundle.uri)) && can(regex("^[0-9a-f]{64}$", var.bundle.sha256))
    error_message = "bundle must be an address s3://bucket/key.tar.gz and 64 hex digits of SHA-256."
  }
}

variable "secret_arns" {
  description = "ARN of each secret by its name, as module secrets gives them: api_key/<key id>, kafka/publisher, database/follower."
  type        = map(string)

  validation {
    condition     = length(setsubtract(["kafka/publisher", "database/follower"], keys(var.secret_arns))) == 0
    error_message = "secret_arns must hold kafka/publisher and database/follower."
  }
}

variable "archive_bucket_name" {
  description = "Bucket of the archive: snapshots are published there, and segments go once it has their records."
  type        = string
}

variable "kafka_bootstrap" {
  description = "Brokers with SASL/SCRAM over TLS, host:port separated by commas."
  type        = string
}

variable "collector_security_group_id" {
  description = "Security group of the tasks whose collector reads the nodes' measures (module streams)."
  type        = string
}

variable "client_security_groups" {
  description = "Who may open sessions with the engine: name to security group id."
  type        = map(string)
}

variable "instance_profile_name" {
  description = "Instance profile of the engine's role (module identity)."
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
  description = "Key that encrypts the disks."
  type        = string
}

variable "deletion_protection" {
  description = "Refuse to terminate the nodes and to delete the journal's disks' last copy. Off only where data may go."
  type        = bool
}
