output "cluster_name" {
  description = "Name of the ECS cluster."
  value       = aws_ecs_cluster.this.name
}

output "service_names" {
  description = "Name of each worker's service, by worker."
  value       = { for worker, service in aws_ecs_service.this : worker => service.name }
}

output "security_group_id" {
  description = "ID of the workers' security group, which the engine lets in."
  value       = aws_security_group.this.id
}
