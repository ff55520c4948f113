variable "deletion_protection" {
  description = "Whether databases, disks, buckets with data and the load balancer refuse to be deleted. Switched off for the apply before a destroy, never else."
  type        = bool
  default     = false
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
