variable "name" {
  description = "Begins the name of everything made here: the product and its environment, as in ironbook-dev."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,20}[a-z0-9]$", var.name))
    error_message = "name must be 4 to 22 lower-case letters, digits and hyphens, and begin with a letter: bucket and role names are built on it."
  }
}

variable "environment" {
  description = "Name of the environment; every secret has it as the tag ironbook:environment, by which followers find theirs."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,15}$", var.environment))
    error_message = "environment must be 2 to 16 lower-case letters, digits and hyphens, and begin with a letter."
  }
}

variable "api_keys" {
  description = "Keys that sign orders, by key id. number: 1 to 256, once given never again; networks: from where it may log on, in CIDR form, empty: anywhere."
  type = map(object({
    number      = number
    permissions = set(string)
    account     = number
    networks    = optional(list(string), [])
  }))

  validation {
    condition     = alltrue([for id in keys(var.api_keys) : can(regex("^[A-Za-z0-9][A-Za-z0-9._-]{0,15}$", id))])
    error_message = "a key id of api_keys must be 1 to 16 letters, digits, dots, _ and -."
  }
  validation {
    condition     = alltrue([for key in values(var.api_keys) : key.number >= 1 && key.number <= 256 && floor(key.number) == key.number])
    error_message = "number of a key must be a whole number from 1 to 256: engine and followers take no higher one."
  }
  validation {
    condition     = length(distinct([for key in values(var.api_keys) : key.number])) == length(var.api_keys)
    error_message = "number must differ from key to key: reports are addressed by it."
  }
  validation {
    condition     = alltrue([for key in values(var.api_keys) : key.account >= 0 && key.account <= 16777214 && floor(key.account) == key.account])
    error_message = "account of a key must be a whole number from 0 to 16777214."
  }
  validation {
    condition     = alltrue([for key in values(var.api_keys) : length(key.permissions) > 0 && length(setsubtract(key.permissions, ["trade", "cancel", "read", "admin", "delegate"])) == 0])
    error_message = "permissions of a key must be some of trade, cancel, read, admin and delegate."
  }
  validation {
    condition     = alltrue(flatten([for key in values(var.api_keys) : [for network in key.networks : can(cidrhost(network, 0))]])) && alltrue([for key in values(var.api_keys) : length(key.networks) <= 16])
    error_message = "networks of a key must be at most 16 networks in CIDR form."
  }
}

variable "database" {
  description = "The database whose users have secrets: host name, port and name."
  type = object({
    host = string
    port = number
    name = string
  })

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9.-]*$", var.database.host))
    error_message = "host of database must be a host name, without scheme and port."
  }
  validation {
    condition     = var.database.port >= 1 && var.database.port <= 65535 && floor(var.database.port) == var.database.port
    error_message = "port of database must be a whole number from 1 to 65535."
  }
  validation {
    condition     = can(regex("^[a-z_][a-z0-9_]{0,62}$", var.database.name))
    error_message = "name of database must be 1 to 63 lower-case letters, digits and _, and not begin with a digit."
  }
}

variable "database_roles" {
  description = "Role in the database of each process that logs in there, by process. Each gets two users, <process>_a and <process>_b, used in turn."
  type        = map(string)

  validation {
    condition     = alltrue([for process, role in var.database_roles : can(regex("^[a-z][a-z0-9_]{0,30}$", process)) && contains(["ironbook_owner", "ironbook_writer", "ironbook_reader", "ironbook_follower"], role)])
    error_message = "database_roles must name ironbook_owner, ironbook_writer, ironbook_reader or ironbook_follower for processes of lower-case letters, digits and _."
  }
}

variable "kafka_principals" {
  description = "Who logs in at Kafka, by the principals of schemas/topics.json. Each gets two users, <principal>_a and <principal>_b, used in turn."
  type        = set(string)

  validation {
    condition     = length(setsubtract(var.kafka_principals, jsondecode(file("${path.module}/../../../schemas/topics.json")).principals)) == 0
    error_message = "kafka_principals must be principals of schemas/topics.json."
  }
}

variable "certificates" {
  description = "TLS certificates that the firm's own authority signs, by process: the names that each is for, the first of them its subject."
  type        = map(list(string))

  validation {
    condition     = alltrue([for names in values(var.certificates) : length(names) > 0])
    error_message = "certificates must give at least one name to each process."
  }
}

variable "certificate_days" {
  description = "Days that a certificate is good for. Module functions asks for twice the days of a rotation: one that is late, or fails for weeks, ends nothing."
  type        = number
  default     = 180

  validation {
    condition     = var.certificate_days >= 2 && var.certificate_days <= 398 && floor(var.certificate_days) == var.certificate_days
    error_message = "certificate_days must be a whole number from 2 to 398 days."
  }
}

variable "processes_count" {
  description = "Fewest of each kind of process that run: so many must have said that they hold or use a new secret before the old one ends."
  type        = map(number)

  validation {
    condition     = alltrue([for count in values(var.processes_count) : count >= 1 && floor(count) == count])
    error_message = "processes_count must be whole numbers of processes from 1 on."
  }
  validation {
    condition     = contains(keys(var.processes_count), "engine")
    error_message = "processes_count must say how many engine nodes there are: without them no key can be changed."
  }
}

variable "recovery_window_days" {
  description = "Days in which a deleted secret, and the key that encrypts it all, can be had back; 0 deletes secrets at once (the key after 7 days)."
  type        = number

  validation {
    condition     = var.recovery_window_days >= 0 && var.recovery_window_days <= 30 && floor(var.recovery_window_days) == var.recovery_window_days
    error_message = "recovery_window_days must be a whole number from 0 to 30 days."
  }
}
