output "instance_ids" {
  description = "Instances by process, as its heartbeat names it: engine-<shard> and standby-<shard>."
  value       = { for node, instance in aws_instance.this : local.nodes[node].process => instance.id }
}

output "security_group_id" {
  description = "Security group of both nodes, which Kafka lets in."
  value       = aws_security_group.this.id
}

output "address" {
  description = "Where clients find the engine, host:port; the host's name follows active_node."
  value       = "${aws_route53_record.engine.name}:7400"
}

output "measures_addresses" {
  description = "Where each node tells its measures, host:port, by process. Names only: nobody need wait for the machines."
  value       = { for facts in values(local.nodes) : facts.process => "${facts.process}.${var.name}.internal:9100" }
}

output "user_data" {
  description = "What cloud-init of each node is given, as text. Holds no secret."
  value       = local.user_data
}
