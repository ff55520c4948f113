variable "name" {
  description = "Begins the name of everything made here: the product and its environment, as in ironbook-dev."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,23}$", var.name))
    error_message = "name must be 3 to 24 lower-case letters, digits and hyphens (a load balancer's name has 32), and begin with a letter."
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
  description = "Addresses of the VPC, in CIDR form: from where X-Forwarded-For is believed."
  type        = string
}

variable "public_subnet_ids" {
  description = "IDs of the public subnets that the load balancer stands in."
  type        = list(string)

  validation {
    condition     = length(var.public_subnet_ids) >= 2
    error_message = "public_subnet_ids must hold at least 2 subnets, in different zones."
  }
}

variable "private_subnet_ids" {
  description = "IDs of the private subnets that tasks run in."
  type        = list(string)

  validation {
    condition     = length(var.private_subnet_ids) >= 2
    error_message = "private_subnet_ids must hold at least 2 subnets, in different zones."
  }
}

variable "image" {
  description = "Container image of the gateway (ops/images/gateway), by digest: what was tested is what runs."
  type        = string

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.image))
    error_message = "image must end with @sha256: and 64 hex digits."
  }
}

variable "collector_image" {
  description = "Container image of the OpenTelemetry collector (AWS Distro) that runs beside each gateway, by digest."
  type        = string

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.collector_image))
    error_message = "collector_image must end with @sha256: and 64 hex digits."
  }
}

variable "collector_configuration" {
  description = "Configuration of the collector, as YAML (module observability): what of a gateway goes to the managed Prometheus, and how."
  type        = string

  validation {
    condition     = can(yamldecode(var.collector_configuration).service.pipelines.metrics)
    error_message = "collector_configuration must be the YAML of a collector with a pipeline called metrics."
  }
}

variable "engine_keys" {
  description = "Key ids with which gateways log on at the engine, one for each gateway there may ever be: a key has one live session, so each gateway is a service of its own."
  type        = list(string)

  validation {
    condition     = length(var.engine_keys) >= 1 && length(var.engine_keys) <= 16 && length(distinct(var.engine_keys)) == length(var.engine_keys)
    error_message = "engine_keys must be 1 to 16 different key ids."
  }
}

variable "archive_bucket_name" {
  description = "Bucket of the archive: a gateway begins at the newest snapshot there."
  type        = string
}

variable "admin_key" {
  description = "Key id for administration through the gateway (halts, accounts); null: none is offered."
  type        = string
  default     = null
}

variable "count_min" {
  description = "Gateways that always run; the others of engine_keys start by load, one after the other."
  type        = number

  validation {
    condition     = var.count_min >= 1 && var.count_min <= length(var.engine_keys)
    error_message = "count_min must be at least 1 gateway and at most as many as there are engine_keys."
  }
}

variable "requests_per_minute_target" {
  description = "Requests a minute that one gateway is to serve before another is started."
  type        = number
  default     = 60000

  validation {
    condition     = var.requests_per_minute_target >= 600 && var.requests_per_minute_target <= 600000
    error_message = "requests_per_minute_target must be between 600 and 600000 requests a minute."
  }
}

variable "cpu_units" {
  description = "Of each gateway; 1024 are one CPU. Its replica of the engine needs one."
  type        = number

  validation {
    condition     = contains([1024, 2048, 4096, 8192], var.cpu_units)
    error_message = "cpu_units must be 1024, 2048, 4096 or 8192 (1024 are one CPU)."
  }
}

variable "memory_mib" {
  description = "Of each gateway, in MiB: the replica's books, what it keeps of orders and trades, and its clients' buffers."
  type        = number

  validation {
    condition     = var.memory_mib >= 2 * var.cpu_units && var.memory_mib <= 8 * var.cpu_units && var.memory_mib % 1024 == 0
    error_message = "memory_mib must be a multiple of 1024 MiB, two to eight times cpu_units: what Fargate has."
  }
}

variable "requests_per_address_max" {
  description = "Requests of one address in five minutes; beyond it the firewall refuses (the gateway's own weights are finer)."
  type        = number
  default     = 30000

  validation {
    condition     = var.requests_per_address_max >= 100 && var.requests_per_address_max <= 2000000000
    error_message = "requests_per_address_max must be between 100 and 2000000000 requests in five minutes."
  }
}

variable "gateway_name" {
  description = "Name by which clients and functions reach the gateway, and which certificate_arn is for. Inside the VPC it is an alias of the load balancer; outside, the firm's DNS makes it one."
  type        = string

  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z]{2,63}$", var.gateway_name))
    error_message = "gateway_name must be a full name in lower case, such as gateway.example.com: no https://, no port."
  }
}

variable "certificate_arn" {
  description = "ARN of the certificate (ACM) that clients see, for gateway_name."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:acm:", var.certificate_arn))
    error_message = "certificate_arn must be an ARN of ACM, arn:aws:acm:..."
  }
}

variable "client_cidr_blocks" {
  description = "Networks whose clients may connect, in CIDR form."
  type        = set(string)

  validation {
    condition     = length(var.client_cidr_blocks) >= 1 && alltrue([for block in var.client_cidr_blocks : can(cidrhost(block, 0))])
    error_message = "client_cidr_blocks must be networks in CIDR form, such as 203.0.113.0/24."
  }
}

variable "nat_addresses" {
  description = "Public address of each NAT gateway, by zone (module network): from there functions come to the load balancer."
  type        = map(string)
}

variable "secret_arns" {
  description = "ARN of each secret by its name, as module secrets gives them."
  type        = map(string)
}

variable "kafka_bootstrap" {
  description = "Brokers with SASL/SCRAM over TLS, host:port separated by commas."
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

variable "task_role_arn" {
  description = "ARN of the gateway's role (module identity)."
  type        = string
}

variable "execution_role_arn" {
  description = "ARN of the role by which ECS starts tasks (module identity)."
  type        = string
}

variable "access_logs_bucket_name" {
  description = "Bucket of the load balancer's access logs (module storage)."
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
  description = "Days that logs of gateways and firewall are kept."
  type        = number

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be a number of days that CloudWatch Logs has, such as 30 or 365."
  }
}

variable "deletion_protection" {
  description = "Whether deleting the load balancer is refused: its name is what clients know."
  type        = bool
}
