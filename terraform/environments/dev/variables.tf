variable "deletion_protection" {
  description = "Whether databases, disks, buckets with data and the load balancer refuse to be deleted. Switched off for the apply before a destroy, never else."
  type        = bool
  default     = false
}
