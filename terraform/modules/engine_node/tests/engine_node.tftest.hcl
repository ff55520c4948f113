mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name           = "ironbook-test"
  environment    = "test"
  vpc_id         = "vpc-00000000"
  vpc_cidr       = "10.20.0.0/16"
  subnet_ids     = ["subnet-1", "subnet-2", "subnet-3"]
  zone_names     = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
  instance_type  = "c6id.metal"
  image_id       = "ami-00000000000000000"
  standby        = true
  journal_disk   = "ebs"
  survival_level = "disk"
  bundle         = { uri = "s3://releases/engine/0.1.0.tar.gz", sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }
  secret_arns = {
    "database/follower" = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:ironbook-test/database/follower-AbCdEf"
    "kafka/publisher"   = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:ironbook-test/kafka/publisher-AbCdEf"
  }
  archive_bucket_name         = "ironbook-test-archive"
  kafka_bootstrap             = "b-1:9096"
  client_security_groups      = { gateway = "sg-1", streams = "sg-2" }
  collector_security_group_id = "sg-2"
  instance_profile_name       = "ironbook-test-engine"
  database_ca_pem             = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
  kms_key_arn                 = "arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-0000-0000-000000000000"
  deletion_protection         = true
}

run "a_primary_and_a_standby_are_in_two_zones_with_a_disk_each" {
  command = apply

  assert {
    condition     = toset(keys(aws_instance.this)) == toset(["primary", "standby"]) && aws_instance.this["primary"].subnet_id != aws_instance.this["standby"].subnet_id
    error_message = "there must be two nodes in two subnets"
  }
  assert {
    condition     = [for node in ["primary", "standby"] : aws_ebs_volume.journal[node].availability_zone] == ["eu-central-1a", "eu-central-1b"]
    error_message = "each disk must be in its node's zone"
  }
  assert {
    condition     = alltrue([for volume in aws_ebs_volume.journal : volume.encrypted && volume.final_snapshot])
    error_message = "disks must be encrypted and leave a last snapshot"
  }
  assert {
    condition     = alltrue([for node in aws_instance.this : node.metadata_options[0].http_tokens == "required" && !node.associate_public_ip_address && node.disable_api_termination])
    error_message = "nodes must have IMDSv2 only, no public address, and not be terminated by the way"
  }
}

run "user_data_is_yaml_that_fits_and_names_its_own_node" {
  command = apply

  assert {
    condition     = alltrue([for node in aws_instance.this : length(node.user_data_base64) < 21000]) # 16 KiB before base64
    error_message = "user data must fit into 16 KiB"
  }
  assert {
    condition     = alltrue([for node in ["primary", "standby"] : strcontains([for file in yamldecode(output.user_data[node]).write_files : file.content if file.path == "/etc/ironbook/node.env"][0], "ROLE=${node}")])
    error_message = "each node must know its role"
  }
  assert {
    condition     = strcontains([for file in yamldecode(output.user_data["primary"]).write_files : file.content if file.path == "/etc/default/grub.d/90-ironbook.cfg"][0], "isolcpus=managed_irq,domain,3 nohz_full=3 rcu_nocbs=3")
    error_message = "the kernel command line must isolate the engine's CPU"
  }
  assert {
    condition     = [for file in yamldecode(output.user_data["primary"]).write_files : file.content if file.path == "/etc/systemd/system/ironbook-engine.service"][0] == file("../../../ops/systemd/ironbook-engine.service")
    error_message = "units must be those of ops/systemd"
  }
  assert {
    condition     = alltrue([for node in ["primary", "standby"] : strcontains([for file in yamldecode(output.user_data[node]).write_files : file.content if file.path == "/etc/ironbook/retention.env"][0], "IRONBOOK_ARCHIVE=s3://ironbook-test-archive/\n")])
    error_message = "each node must know the archive: the standby may be the next primary"
  }
}

run "without_a_standby_there_is_one_node" {
  command = apply

  variables {
    standby = false
  }

  assert {
    condition     = keys(aws_instance.this) == ["primary"] && keys(output.instance_ids) == ["engine-0"]
    error_message = "there must be the primary alone"
  }
}

run "a_local_disk_has_no_volume" {
  command = apply

  variables {
    journal_disk   = "instance_store"
    survival_level = "cluster"
  }

  assert {
    condition     = length(aws_ebs_volume.journal) == 0 && strcontains(output.user_data["primary"], "NVMe_Instance_Storage")
    error_message = "the journal must be on the local disk"
  }
}

run "a_virtual_machine_is_refused" {
  command = plan

  variables {
    instance_type = "c6id.large"
  }

  expect_failures = [var.instance_type]
}

run "a_local_disk_below_level_cluster_is_refused" {
  command = plan

  variables {
    journal_disk = "instance_store"
  }

  expect_failures = [var.journal_disk]
}

run "a_local_disk_of_a_type_without_one_is_refused" {
  command = plan

  variables {
    journal_disk   = "instance_store"
    survival_level = "cluster"
    instance_type  = "c6i.metal"
  }

  expect_failures = [var.journal_disk]
}

run "two_nodes_in_one_zone_are_refused" {
  command = plan

  variables {
    zone_names = ["eu-central-1a", "eu-central-1a"]
  }

  expect_failures = [var.zone_names]
}

run "cpu_0_is_not_the_engines" {
  command = plan

  variables {
    cpus = { engine = 0, sync = 2, background = 1 }
  }

  expect_failures = [var.cpus]
}

run "a_disk_too_small_is_refused" {
  command = plan

  variables {
    journal_volume_size_gib = 8
  }

  expect_failures = [var.journal_volume_size_gib]
}

run "a_bundle_without_digest_is_refused" {
  command = plan

  variables {
    bundle = { uri = "s3://releases/a.tar.gz", sha256 = "" }
  }

  expect_failures = [var.bundle]
}

run "failing_over_to_nobody_is_refused" {
  command = plan

  variables {
    standby     = false
    active_node = "standby"
  }

  expect_failures = [var.active_node]
}

run "passwords_go_to_no_server_but_one_of_the_databases_authority" {
  command = apply

  assert {
    condition     = alltrue([for node in ["primary", "standby"] : [for file in yamldecode(output.user_data[node]).write_files : file.content if file.path == "/etc/ironbook/database-ca.pem"][0] == var.database_ca_pem])
    error_message = "a node must have the certificate of the database's authority"
  }
  assert {
    condition     = alltrue([for node in ["primary", "standby"] : strcontains([for file in yamldecode(output.user_data[node]).write_files : file.content if file.path == "/etc/ironbook/secrets.toml"][0], "sslmode=verify-full&sslrootcert=/etc/ironbook/database-ca.pem")])
    error_message = "the follower of secrets must check the server's certificate"
  }
  assert {
    condition     = one([for rule in aws_vpc_security_group_egress_rule.this : rule.cidr_ipv4 if rule.from_port == 5432]) == var.vpc_cidr
    error_message = "the follower of secrets must reach the database"
  }
}

run "an_authority_that_is_no_certificate_is_refused" {
  command = plan

  variables {
    database_ca_pem = "rds-ca-rsa2048-g1"
  }

  expect_failures = [var.database_ca_pem]
}

run "measures_of_a_node_are_told_under_its_own_name_to_the_collector_alone" {
  command = apply

  assert {
    condition     = output.measures_addresses == { engine-0 = "engine-0.ironbook-test.internal:9100", standby-0 = "standby-0.ironbook-test.internal:9100" }
    error_message = "each node must have a name of its own, whoever trades"
  }
  assert {
    condition     = alltrue([for node, process in { primary = "engine-0", standby = "standby-0" } : aws_route53_record.node[node].name == "${process}.ironbook-test.internal" && tolist(aws_route53_record.node[node].records) == tolist([aws_instance.this[node].private_ip])])
    error_message = "that name must lead to the node"
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.measures.referenced_security_group_id == "sg-2" && aws_vpc_security_group_ingress_rule.measures.from_port == 9100 && aws_vpc_security_group_ingress_rule.measures.to_port == 9100 && alltrue([for rule in aws_vpc_security_group_ingress_rule.clients : rule.from_port == 7400 && rule.to_port == 7400])
    error_message = "the collector must be let in there, and nobody else"
  }
  assert {
    condition     = contains(yamldecode(output.user_data["primary"]).packages, "prometheus-node-exporter") && strcontains([for file in yamldecode(output.user_data["primary"]).write_files : file.content if file.path == "/usr/local/sbin/ironbook-node-setup"][0], "ironbook-metrics.timer")
    error_message = "what tells of machine and engine must be installed and started"
  }
}
