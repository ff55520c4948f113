variable "deletion_protection" {
  description = "Whether databases, disks, buckets with data and the load balancer refuse to be deleted. Switched off for the apply before a destroy, never else."
  type        = bool
  default     = true
}

variable "database_ca_file" {
  description = "File of the certificate (PEM) of the authority that signs PostgreSQL's here: AWS publishes it, docs/guides/terraform.md says where. Beside main.tf, unless another path is given."
  type        = string
  default     = "database-ca.pem"

  validation {
    condition     = fileexists(var.database_ca_file)
    error_message = "database_ca_file must be there, is not: download it once, as docs/guides/terraform.md says under \"What you need\"."
  }
}

variable "report_mail" {
  description = "SES identity that reports are mailed by, the address they come from (of that identity), and the addresses they go to; null: by the topic of reports alone."
  type = object({
    identity_arn = string
    from         = string
    to           = set(string)
  })
  default = null

  validation {
    condition     = var.report_mail == null || can(regex("^arn:aws[a-z-]*:ses:[a-z0-9-]+:[0-9]{12}:identity/[^*/]+$", var.report_mail.identity_arn))
    error_message = "identity_arn of report_mail must be the ARN of one identity of SES."
  }
  validation {
    condition     = var.report_mail == null || try(endswith(var.report_mail.from, split("identity/", var.report_mail.identity_arn)[1]), false)
    error_message = "from of report_mail must be an address of its identity: of its domain, or the address itself."
  }
  validation {
    condition     = var.report_mail == null || try(length(var.report_mail.to) >= 1 && alltrue([for address in setunion([var.report_mail.from], var.report_mail.to) : can(regex("^[^@ ,]+@[^@ ,]+$", address))]), false)
    error_message = "from and to of report_mail must be e-mail addresses, to at least one."
  }
}
