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

variable "vpc_cidr" {
  description = "Addresses of the VPC, in CIDR form; /16 to /20. Three public, three private and three isolated subnets are cut from it."
  type        = string

  validation {
    condition     = can(cidrhost(var.vpc_cidr, 0)) && can(regex("/(1[6-9]|20)$", var.vpc_cidr))
    error_message = "vpc_cidr must be a network in CIDR form from /16 to /20, as in 10.20.0.0/16."
  }
}

variable "zone_names" {
  description = "The three availability zones, in order. Named rather than found: bare-metal instances are not to be had in every zone, and a plan must not change when a region gets a new one."
  type        = list(string)

  validation {
    condition     = length(var.zone_names) == 3 && length(distinct(var.zone_names)) == 3 && alltrue([for zone in var.zone_names : can(regex("^[a-z]{2}(-[a-z]+)+-[0-9][a-z]$", zone))])
    error_message = "zone_names must be three different availability zones, as in eu-west-1a."
  }
}

variable "nat_gateway_count" {
  description = "NAT gateways: 1 (cheaper; without its zone nothing private reaches the internet) or 3 (one a zone)."
  type        = number

  validation {
    condition     = contains([1, 3], var.nat_gateway_count)
    error_message = "nat_gateway_count must be 1 or 3 gateways: one for all zones, or one a zone."
  }
}

variable "interface_endpoints" {
  description = "AWS services reached from private subnets without the internet, by their short names (secretsmanager, kms, logs, ecr.api, ...). Each costs by the hour and zone; what is not named goes through NAT."
  type        = set(string)

  validation {
    condition     = alltrue([for service in var.interface_endpoints : can(regex("^[a-z0-9][a-z0-9.-]+$", service))])
    error_message = "interface_endpoints must be short names of services, as in secretsmanager or ecr.api."
  }
}

variable "flow_logs_retention_days" {
  description = "Days that records of accepted and refused connections are kept."
  type        = number

  validation {
    condition     = contains([30, 60, 90, 180, 365, 400, 731, 1827, 3653], var.flow_logs_retention_days)
    error_message = "flow_logs_retention_days must be one of 30, 60, 90, 180, 365, 400, 731, 1827, 3653 days: CloudWatch knows no other."
  }
}
