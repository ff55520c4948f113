mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name                       = "ironbook-test"
  kms_key_arn                = "arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-0000-0000-000000000000"
  vpc_id                     = "vpc-1"
  subnet_ids                 = ["subnet-1", "subnet-2", "subnet-3"]
  client_security_groups     = { streams = "sg-1", engine = "sg-2" }
  kafka_version              = "3.9.x"
  broker_instance_type       = "kafka.m7g.large"
  broker_volume_size_gib     = 100
  broker_volume_size_max_gib = 500
  log_retention_days         = 30
  user_secret_arns           = { analytics_a = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:AmazonMSK_ironbook-test_analytics_a-AbCdEf" }
}

run "a_record_that_was_acknowledged_is_on_two_brokers_at_least" {
  command = apply

  assert {
    condition     = alltrue([for setting in ["default.replication.factor=3", "min.insync.replicas=2", "unclean.leader.election.enable=false", "auto.create.topics.enable=false"] : contains(split("\n", aws_msk_configuration.this.server_properties), setting)])
    error_message = "the brokers must keep three copies, two of them in step, elect no leader that lacks records, and make no topics by themselves"
  }

  assert {
    condition     = aws_msk_cluster.this.number_of_broker_nodes == 3
    error_message = "one broker a zone"
  }

  assert {
    condition     = alltrue([for topic in aws_msk_topic.this : topic.replication_factor == 3 && jsondecode(topic.configs)["min.insync.replicas"] == "2"])
    error_message = "every topic must have three copies, two of them in step"
  }
}

run "nobody_connects_in_clear_or_without_a_login" {
  command = apply

  assert {
    condition     = aws_msk_cluster.this.encryption_info[0].encryption_in_transit[0].client_broker == "TLS" && aws_msk_cluster.this.encryption_info[0].encryption_in_transit[0].in_cluster
    error_message = "clients and brokers must speak TLS"
  }

  assert {
    condition     = !aws_msk_cluster.this.client_authentication[0].unauthenticated && aws_msk_cluster.this.client_authentication[0].sasl[0].scram
    error_message = "clients must log in"
  }

  assert {
    condition     = strcontains(aws_msk_configuration.this.server_properties, "allow.everyone.if.no.acl.found=false")
    error_message = "what no rule allows must be refused"
  }

  assert {
    condition     = { for rule in aws_vpc_security_group_ingress_rule.clients : rule.description => [rule.from_port, rule.referenced_security_group_id] } == { "engine iam over TLS" = [9098, "sg-2"], "engine scram over TLS" = [9096, "sg-2"], "streams iam over TLS" = [9098, "sg-1"], "streams scram over TLS" = [9096, "sg-1"] }
    error_message = "only the ports of logins may be open, to the named security groups"
  }

  assert {
    condition     = keys(aws_msk_single_scram_secret_association.this) == ["analytics_a"]
    error_message = "each user must be associated"
  }
}

run "topics_are_those_of_the_contract_to_the_last_setting" {
  command = apply

  assert {
    condition     = output.topics == jsondecode(file("tests/topics.json"))
    error_message = "topics must be what ironbook.topics plans; tests/terraform compares tests/topics.json with that"
  }

  assert {
    condition     = jsondecode(aws_msk_topic.this["trades"].configs) == output.topics["trades"].settings && aws_msk_topic.this["trades"].partition_count == 8
    error_message = "a topic must be made as the map says"
  }
}

run "a_prefix_stands_before_every_topic" {
  command = apply

  variables {
    topic_prefix = "dev."
  }

  assert {
    condition     = alltrue([for topic in aws_msk_topic.this : startswith(topic.name, "dev.")])
    error_message = "every topic must begin with the prefix"
  }
}

run "disks_grow_before_they_are_full" {
  command = apply

  assert {
    condition     = aws_appautoscaling_target.storage.max_capacity == 500 && aws_appautoscaling_policy.storage.target_tracking_scaling_policy_configuration[0].disable_scale_in
    error_message = "disks must grow to their maximum, and never shrink"
  }
}

run "a_version_without_an_api_for_topics_is_refused" {
  command = plan

  variables {
    kafka_version = "3.5.1"
  }

  expect_failures = [var.kafka_version]
}

run "a_type_that_is_no_broker_is_refused" {
  command = plan

  variables {
    broker_instance_type = "m7g.large"
  }

  expect_failures = [var.broker_instance_type]
}

run "a_disk_below_its_range_is_refused" {
  command = plan

  variables {
    broker_volume_size_gib = 5
  }

  expect_failures = [var.broker_volume_size_gib]
}

run "half_a_gibibyte_is_refused" {
  command = plan

  variables {
    broker_volume_size_max_gib = 500.5
  }

  expect_failures = [var.broker_volume_size_max_gib]
}

run "a_maximum_below_the_size_is_refused" {
  command = plan

  variables {
    broker_volume_size_gib = 600
  }

  expect_failures = [aws_msk_cluster.this]
}

run "two_subnets_are_refused" {
  command = plan

  variables {
    subnet_ids = ["subnet-1", "subnet-2"]
  }

  expect_failures = [var.subnet_ids]
}

run "nobody_to_connect_is_refused" {
  command = plan

  variables {
    client_security_groups = {}
  }

  expect_failures = [var.client_security_groups]
}

run "a_secret_that_msk_cannot_read_is_refused" {
  command = plan

  variables {
    user_secret_arns = { analytics_a = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:analytics_a" }
  }

  expect_failures = [var.user_secret_arns]
}

run "a_prefix_without_a_dot_is_refused" {
  command = plan

  variables {
    topic_prefix = "dev"
  }

  expect_failures = [var.topic_prefix]
}
