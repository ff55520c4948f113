mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name                     = "ironbook-test"
  kms_key_arn              = "arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-0000-0000-000000000000"
  vpc_cidr                 = "10.20.0.0/16"
  zone_names               = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
  nat_gateway_count        = 1
  interface_endpoints      = ["secretsmanager", "kms"]
  flow_logs_retention_days = 30
}

run "three_zones_have_a_public_a_private_and_an_isolated_subnet_each" {
  command = apply

  assert {
    condition     = [for subnet in aws_subnet.public : subnet.cidr_block] == ["10.20.0.0/20", "10.20.16.0/20", "10.20.32.0/20"]
    error_message = "public subnets must be the blocks 0 to 2"
  }

  assert {
    condition     = [for subnet in aws_subnet.private : subnet.cidr_block] == ["10.20.64.0/20", "10.20.80.0/20", "10.20.96.0/20"]
    error_message = "private subnets must be the blocks 4 to 6"
  }

  assert {
    condition     = [for subnet in aws_subnet.isolated : subnet.cidr_block] == ["10.20.128.0/20", "10.20.144.0/20", "10.20.160.0/20"]
    error_message = "isolated subnets must be the blocks 8 to 10"
  }

  assert {
    condition     = tolist([for subnet in aws_subnet.private : subnet.availability_zone]) == var.zone_names
    error_message = "private subnets must be in the order of the zones"
  }

  assert {
    condition     = output.engine_subnet_ids == output.private_subnet_ids
    error_message = "engine nodes must be in private subnets"
  }
}

run "with_one_nat_gateway_every_private_subnet_goes_through_it" {
  command = apply

  assert {
    condition     = length(aws_nat_gateway.this) == 1 && alltrue([for route in aws_route.private : route.nat_gateway_id == aws_nat_gateway.this[0].id])
    error_message = "all three private routes must go through the one gateway"
  }
}

run "with_three_nat_gateways_each_zone_has_its_own" {
  command = apply

  variables {
    nat_gateway_count = 3
  }

  assert {
    condition     = length(distinct([for route in aws_route.private : route.nat_gateway_id])) == 3 && join(" ", keys(output.nat_addresses)) == join(" ", var.zone_names)
    error_message = "each private route must go through a gateway of its own"
  }
}

run "isolated_subnets_have_no_way_out_but_s3" {
  command = apply

  assert {
    condition     = length(distinct([for association in aws_route_table_association.isolated : association.route_table_id])) == 1 && alltrue([for route in aws_route.private : route.route_table_id != aws_route_table.isolated.id])
    error_message = "no route may leave the isolated table"
  }

  assert {
    condition     = contains(aws_vpc_endpoint.s3.route_table_ids, aws_route_table.isolated.id)
    error_message = "S3 must be reached from isolated subnets"
  }
}

run "the_default_security_group_is_closed" {
  command = apply

  assert {
    condition     = length(aws_default_security_group.this.ingress) == 0 && length(aws_default_security_group.this.egress) == 0
    error_message = "the default security group must let nothing in or out"
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.endpoints.cidr_ipv4 == "10.20.0.0/16" && aws_vpc_security_group_ingress_rule.endpoints.from_port == 443
    error_message = "endpoints must take HTTPS from the VPC only"
  }
}

run "every_connection_is_recorded_encrypted_and_for_a_time" {
  command = apply

  assert {
    condition     = aws_flow_log.this.traffic_type == "ALL" && aws_cloudwatch_log_group.flow.kms_key_id == var.kms_key_arn && aws_cloudwatch_log_group.flow.retention_in_days == 30
    error_message = "flow logs must be of all traffic, encrypted and end"
  }
}

run "a_network_too_small_is_refused" {
  command = plan

  variables {
    vpc_cidr = "10.20.0.0/24"
  }

  expect_failures = [var.vpc_cidr]
}

run "two_zones_are_refused" {
  command = plan

  variables {
    zone_names = ["eu-central-1a", "eu-central-1b"]
  }

  expect_failures = [var.zone_names]
}

run "one_zone_three_times_is_refused" {
  command = plan

  variables {
    zone_names = ["eu-central-1a", "eu-central-1a", "eu-central-1a"]
  }

  expect_failures = [var.zone_names]
}

run "two_nat_gateways_are_refused" {
  command = plan

  variables {
    nat_gateway_count = 2
  }

  expect_failures = [var.nat_gateway_count]
}

run "a_retention_that_cloudwatch_does_not_know_is_refused" {
  command = plan

  variables {
    flow_logs_retention_days = 31
  }

  expect_failures = [var.flow_logs_retention_days]
}

run "a_name_too_long_for_a_bucket_is_refused" {
  command = plan

  variables {
    name = "ironbook-in-a-very-long-environment"
  }

  expect_failures = [var.name]
}

run "a_key_that_is_no_arn_is_refused" {
  command = plan

  variables {
    kms_key_arn = "alias/ironbook"
  }

  expect_failures = [var.kms_key_arn]
}

run "an_endpoint_by_its_long_name_is_refused" {
  command = plan

  variables {
    interface_endpoints = ["com.amazonaws/kms"]
  }

  expect_failures = [var.interface_endpoints]
}
