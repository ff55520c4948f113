output "function_names" {
  description = "Name of each function, by its short name."
  value       = { for function, lambda in aws_lambda_function.this : function => lambda.function_name }
}

output "security_group_id" {
  description = "ID of the functions' security group, which engine, Kafka and database let in."
  value       = aws_security_group.this.id
}
