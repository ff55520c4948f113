output "engine_instance_profile_name" {
  description = "Name of the instance profile of engine nodes."
  value       = aws_iam_instance_profile.engine.name
}

output "task_role_arns" {
  description = "ARN of each service's role, by service: what its process may do."
  value       = { for service, role in aws_iam_role.task : service => role.arn }
}

output "execution_role_arn" {
  description = "ARN of the role by which ECS itself starts tasks: images and logs."
  value       = aws_iam_role.execution.arn
}

output "function_role_arns" {
  description = "ARN of each function's role, by function."
  value       = { for function, role in aws_iam_role.function : function => role.arn }
}
