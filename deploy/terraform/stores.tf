# Exactly what `host aws bootstrap` creates: use the one or the other.

locals {
  bucket = coalesce(var.bucket, "${var.env}-ecom-product-data-bucket")
  # Of all queues of an environment.
  queue_prefix = "${var.env}-ecom-indexer-"
  # By which `host aws bootstrap` knows them.
  tags = { application = "ecom-indexer" }
}

resource "aws_s3_bucket" "product_data" {
  bucket = local.bucket
  tags   = local.tags
}

resource "aws_s3_bucket_public_access_block" "product_data" {
  bucket                  = aws_s3_bucket.product_data.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_lifecycle_configuration" "product_data" {
  bucket = aws_s3_bucket.product_data.id

  # One rule a platform of the plug-ins.
  dynamic "rule" {
    for_each = var.platforms
    content {
      id     = rule.value == "shopify" ? "expire-chunks-and-reports" : "expire-chunks-and-reports-${rule.value}"
      status = "Enabled"
      filter { prefix = "${rule.value}/" }
      expiration { days = max(var.retention_days, 29) }
    }
  }
}

resource "aws_dynamodb_table" "jobs" {
  name         = "${var.env}-EcomIndexerJobsTable"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "pk"
  range_key    = "sk"
  tags         = local.tags

  attribute {
    name = "pk"
    type = "S"
  }
  attribute {
    name = "sk"
    type = "S"
  }
  attribute {
    name = "job_id"
    type = "S"
  }

  global_secondary_index {
    name            = "GSI_JobLookup"
    hash_key        = "job_id"
    projection_type = "ALL"
  }

  ttl {
    attribute_name = "expires_at"
    enabled        = true
  }
}

resource "aws_dynamodb_table" "settings" {
  name         = "${var.env}-EcomIndexSettingsTable"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "pk"
  range_key    = "sk"
  tags         = local.tags

  attribute {
    name = "pk"
    type = "S"
  }
  attribute {
    name = "sk"
    type = "S"
  }

  # Endpoints and keys of search servers: nothing makes them anew.
  point_in_time_recovery { enabled = true }
}

resource "aws_dynamodb_table" "products" {
  name         = "${var.env}-EcomIndexerProductsTable"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "pk"
  range_key    = "sk"
  tags         = local.tags

  attribute {
    name = "pk"
    type = "S"
  }
  attribute {
    name = "sk"
    type = "S"
  }

  # Of products that left the index.
  ttl {
    attribute_name = "expires_at"
    enabled        = true
  }
}
