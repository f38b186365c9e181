# What platform-agent and platform-ops need of Oracle Cloud. setup.sh does the same with the CLI.
#   terraform init && terraform apply -var tenancy_id=… -var compartment_id=… -var region=…
terraform {
  required_version = ">= 1.5"
  required_providers {
    oci = {
      source  = "oracle/oci"
      version = ">= 5.0"
    }
  }
}

variable "tenancy_id" {
  type = string
}

variable "compartment_id" {
  type        = string
  description = "Holds the instance, the log and the bucket"
}

variable "region" {
  type        = string
  description = "The home region: dynamic groups are made there; the bucket is too"
}

variable "name" {
  type    = string
  default = "platform"
}

variable "bucket" {
  type        = string
  default     = ""
  description = "For backups; empty for logs alone"
}

variable "multipart" {
  type        = bool
  default     = false
  description = "Allow backups larger than one part: see README.md, \"Backups\""
}

variable "log_retention_days" {
  type        = number
  default     = 30
  description = "30 to 180, in steps of 30; [logging] retention in agent.toml says the same"
}

variable "backup_retention_days" {
  type        = number
  default     = 14
  description = "Objects cannot be deleted or overwritten for so long"
}

provider "oci" {
  region = var.region
}

resource "oci_logging_log_group" "this" {
  compartment_id = var.compartment_id
  display_name   = var.name
}

resource "oci_logging_log" "docker" {
  display_name       = "docker"
  log_group_id       = oci_logging_log_group.this.id
  log_type           = "CUSTOM"
  is_enabled         = true
  retention_duration = var.log_retention_days
}

resource "oci_identity_dynamic_group" "this" {
  compartment_id = var.tenancy_id
  name           = var.name
  description    = "Instances that ship logs and backups"
  # Every instance of the compartment; name one alone with instance.id instead.
  matching_rule = "All {instance.compartment.id = '${var.compartment_id}'}"
}

data "oci_objectstorage_namespace" "this" {
  compartment_id = var.tenancy_id
}

resource "oci_objectstorage_bucket" "backups" {
  count          = var.bucket == "" ? 0 : 1
  compartment_id = var.compartment_id
  namespace      = data.oci_objectstorage_namespace.this.namespace
  name           = var.bucket

  # What is there stays as it is for so long, whatever a policy allows.
  retention_rules {
    display_name = "keep"
    duration {
      time_amount = var.backup_retention_days
      time_unit   = "DAYS"
    }
  }
}

locals {
  group = "dynamic-group ${oci_identity_dynamic_group.this.name}"
  place = "in compartment id ${var.compartment_id}"
  permissions = join(", ", formatlist("request.permission = '%s'", concat(
    ["OBJECT_CREATE", "OBJECT_INSPECT", "OBJECT_READ"],
    var.multipart ? ["OBJECT_OVERWRITE"] : [],
  )))
  log_statements = [
    "Allow ${local.group} to use log-content ${local.place} where target.loggroup.id = '${oci_logging_log_group.this.id}'",
  ]
  backup_statements = var.bucket == "" ? [] : concat([
    "Allow ${local.group} to read buckets ${local.place} where target.bucket.name = '${var.bucket}'",
    "Allow ${local.group} to manage objects ${local.place} where all {target.bucket.name = '${var.bucket}', any {${local.permissions}}}",
    ], var.multipart ? [
    # Clears away uploads that were given up: Object Storage does it itself, and needs the right to.
    "Allow service objectstorage-${var.region} to manage object-family ${local.place} where target.bucket.name = '${var.bucket}'",
  ] : [])
}

resource "oci_identity_policy" "this" {
  compartment_id = var.compartment_id
  name           = var.name
  description    = "Least rights of platform-agent and platform-ops"
  statements     = concat(local.log_statements, local.backup_statements)
}

# Fails while the policy does not apply yet: apply again after some minutes.
resource "oci_objectstorage_object_lifecycle_policy" "backups" {
  count      = var.bucket != "" && var.multipart ? 1 : 0
  namespace  = data.oci_objectstorage_namespace.this.namespace
  bucket     = oci_objectstorage_bucket.backups[0].name
  depends_on = [oci_identity_policy.this]

  rules {
    name        = "given-up-uploads"
    target      = "multipart-uploads"
    action      = "ABORT"
    time_amount = 7
    time_unit   = "DAYS"
    is_enabled  = true
  }
}

output "log_id" {
  value       = oci_logging_log.docker.id
  description = "For [logging] log_id in agent.toml"
}
