output "alerts_topic_arn" {
  description = "ARN of the topic of alerts."
  value       = aws_sns_topic.alerts.arn
}

output "metrics_namespace" {
  description = "CloudWatch namespace of Ironbook's own metrics."
  value       = local.namespace
}

output "dashboard_name" {
  description = "Name of the CloudWatch dashboard."
  value       = aws_cloudwatch_dashboard.this.dashboard_name
}

output "prometheus_workspace_id" {
  description = "ID of the managed Prometheus workspace."
  value       = aws_prometheus_workspace.this.id
}

output "prometheus_remote_write_url" {
  description = "Where agents write metrics of processes to."
  value       = "${aws_prometheus_workspace.this.prometheus_endpoint}api/v1/remote_write"
}

output "grafana_workspace_id" {
  description = "ID of the managed Grafana workspace."
  value       = aws_grafana_workspace.this.id
}

output "collector_configuration" {
  description = "Configuration of an OpenTelemetry collector beside a process: reads $IRONBOOK_METRICS_TARGET (host:port, path /metrics) and writes to the managed Prometheus. What a sidecar gets as AOT_CONFIG_CONTENT."
  value       = local.collector_configuration
}
