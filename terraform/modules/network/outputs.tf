output "vpc_id" {
  description = "ID of the VPC."
  value       = aws_vpc.this.id
}

output "vpc_cidr" {
  description = "Addresses of the VPC, in CIDR form."
  value       = aws_vpc.this.cidr_block
}

output "zone_names" {
  description = "The three availability zones, in the order of the subnets."
  value       = var.zone_names
}

output "public_subnet_ids" {
  description = "IDs of the public subnets by zone: load balancers and NAT gateways."
  value       = aws_subnet.public[*].id
}

output "private_subnet_ids" {
  description = "IDs of the private subnets by zone: processes; out through NAT."
  value       = aws_subnet.private[*].id
}

output "isolated_subnet_ids" {
  description = "IDs of the isolated subnets by zone: databases and brokers; no way out."
  value       = aws_subnet.isolated[*].id
}

output "engine_subnet_ids" {
  description = "IDs of the subnets for engine nodes by zone: the private ones."
  value       = aws_subnet.private[*].id
}

output "nat_addresses" {
  description = "Public address of each NAT gateway by its zone: what the internet sees of private subnets."
  value       = { for index, address in aws_eip.nat : var.zone_names[index] => address.public_ip }
}
