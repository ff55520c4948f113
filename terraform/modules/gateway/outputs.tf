output "cluster_name" {
  description = "Name of the ECS cluster."
  value       = aws_ecs_cluster.this.name
}

output "always_on_service_names" {
  description = "Those of them that always run, and whose silence is an alarm."
  value       = { for gateway, service in aws_ecs_service.this : gateway => service.name if !contains(keys(local.spare), gateway) }
}

output "security_group_id" {
  description = "ID of the gateways' security group, which the engine lets in."
  value       = aws_security_group.this.id
}

output "alb_dns_name" {
  description = "Name of the load balancer, which the certificate's name is to lead to."
  value       = aws_lb.this.dns_name
}

output "url" {
  description = "Where clients and functions reach the gateway: the name that the certificate is for."
  value       = "https://${aws_route53_record.this.name}"
}

output "alb_arn_suffix" {
  description = "What CloudWatch calls the load balancer."
  value       = aws_lb.this.arn_suffix
}
