output "cluster_name" {
  description = "Name of the cluster, by which its metrics are known."
  value       = aws_msk_cluster.this.cluster_name
}

output "bootstrap_brokers_sasl_scram" {
  description = "Addresses for clients that log in by SASL/SCRAM over TLS: what every process of Ironbook uses."
  value       = aws_msk_cluster.this.bootstrap_brokers_sasl_scram
}

output "bootstrap_brokers_sasl_iam" {
  description = "Addresses for clients that log in by IAM over TLS: operators."
  value       = aws_msk_cluster.this.bootstrap_brokers_sasl_iam
}

output "topics" {
  description = "Every topic by name, as schemas/topics.json has it: partitions, retention_ms (null: compacted) and settings."
  value       = local.topics
}
