output "gateway_dns_name" {
  description = "What the public name of the gateway is to be an alias of."
  value       = module.gateway.alb_dns_name
}

output "grafana_url" {
  description = "Where people look at measures of processes and engine nodes."
  value       = module.observability.grafana_url
}

output "engine_instance_ids" {
  description = "Engine nodes, for sessions by Systems Manager."
  value       = module.engine_node.instance_ids
}

output "archive_bucket_name" {
  description = "Bucket of the journal's archive."
  value       = module.storage.archive_bucket_name
}

output "reports_bucket_name" {
  description = "Bucket of reports."
  value       = module.storage.reports_bucket_name
}

output "repository_urls" {
  description = "Where the images of a release are pushed, by image."
  value       = module.storage.repository_urls
}

output "bootstrap_brokers_sasl_iam" {
  description = "Kafka's addresses for operators, who log in by IAM."
  value       = module.kafka.bootstrap_brokers_sasl_iam
}

output "function_names" {
  description = "Functions, for invocations by hand."
  value       = module.functions.function_names
}

output "ca_secret_arn" {
  description = "Where the firm's certificate authority is to be put, once and by hand."
  value       = module.secrets.ca_secret_arn
}
