output "kms_key_arn" {
  description = "ARN of the environment's KMS key."
  value       = aws_kms_key.this.arn
}

output "secret_arns" {
  description = "ARN of each secret by its name: api_key/<key id>, database/<process>, kafka/<principal>, tls/<process>, cookie."
  value       = { for name, secret in aws_secretsmanager_secret.this : name => secret.arn }
}

output "kafka_user_secret_arns" {
  description = "ARN of the secret of each user at Kafka, by user: what MSK itself reads. The rotation function writes the password of a principal's other user there."
  value       = { for user, secret in aws_secretsmanager_secret.kafka_user : user => secret.arn }
}

output "kafka_user_secret_name_prefix" {
  description = "What the names of the users' secrets begin with; the user's name follows."
  value       = local.kafka_user_prefix
}

output "ca_secret_arn" {
  description = "ARN of the secret with the firm's own certificate authority (certificate, private_key), which signs the TLS certificates. Put there once, by hand."
  value       = aws_secretsmanager_secret.ca.arn
}

output "certificate_days" {
  description = "Days that a certificate is good for."
  value       = var.certificate_days
}
