output "alerts_topic_arn" {
  description = "ARN of the topic of alerts."
  value       = aws_sns_topic.alerts.arn
}

output "reports_topic_arn" {
  description = "ARN of the topic of reports."
  value       = aws_sns_topic.reports.arn
}

output "prometheus_workspace_arn" {
  description = "ARN of the managed Prometheus workspace, which processes may write to."
  value       = aws_prometheus_workspace.this.arn
}

output "prometheus_remote_write_url" {
  description = "Where agents write metrics of processes to."
  value       = local.remote_write_url
}

output "grafana_url" {
  description = "Where people look at what the managed Prometheus keeps."
  value       = "https://${aws_grafana_workspace.this.endpoint}"
}

output "collector_configuration" {
  description = "Configuration of an OpenTelemetry collector beside a process, as AOT_CONFIG_CONTENT: reads /metrics at IRONBOOK_METRICS_TARGET (host:port) by IRONBOOK_METRICS_SCHEME (http or https), calls it IRONBOOK_METRICS_JOB, and writes to the managed Prometheus."
  value       = yamlencode(local.collector)
}

output "nodes_collector_configuration" {
  description = "The same for the one collector that reads the engine nodes' measures too."
  value       = yamlencode(local.nodes_collector)
}
