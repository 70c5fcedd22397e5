# Two policies, since who publishes needs no right to take messages and who works none to make queues. Attach them to the roles that
# `host ingest` and `host work` run as; the function has the second one. A third one, only with `forget_policy`, is for the operator
# who removes a shop.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  # Account and region of all queues of the environment.
  queues = "arn:${data.aws_partition.current.partition}:sqs:${data.aws_region.current.name}:${data.aws_caller_identity.current.account_id}:${local.queue_prefix}*"
  tables = [
    aws_dynamodb_table.jobs.arn,
    "${aws_dynamodb_table.jobs.arn}/index/*",
    aws_dynamodb_table.settings.arn,
    aws_dynamodb_table.products.arn,
  ]
}

data "aws_iam_policy_document" "shared" {
  statement {
    sid       = "Objects"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
    resources = ["${aws_s3_bucket.product_data.arn}/*"]
  }
  statement {
    # Without it a missing object looks like a forbidden one.
    sid       = "Listing"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.product_data.arn]
  }
  statement {
    sid = "Tables"
    actions = [
      "dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:UpdateItem", "dynamodb:BatchWriteItem", "dynamodb:DeleteItem",
      "dynamodb:Query",
    ]
    resources = local.tables
  }
}

data "aws_iam_policy_document" "ingest" {
  source_policy_documents = [data.aws_iam_policy_document.shared.json]

  statement {
    sid       = "Publishing"
    actions   = ["sqs:CreateQueue", "sqs:TagQueue", "sqs:GetQueueUrl", "sqs:GetQueueAttributes", "sqs:SendMessage"]
    resources = [local.queues]
  }
}

data "aws_iam_policy_document" "work" {
  source_policy_documents = [data.aws_iam_policy_document.shared.json]

  statement {
    sid = "Working"
    actions = [
      "sqs:GetQueueUrl", "sqs:GetQueueAttributes", "sqs:ListQueueTags", "sqs:ReceiveMessage",
      "sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:SendMessage",
    ]
    resources = [local.queues]
  }
  statement {
    # It knows no resources.
    sid       = "Discovery"
    actions   = ["sqs:ListQueues"]
    resources = ["*"]
  }
}

resource "aws_iam_policy" "ingest" {
  name   = "${var.env}-EcomIndexerIngest"
  policy = data.aws_iam_policy_document.ingest.json
}

resource "aws_iam_policy" "work" {
  name   = "${var.env}-EcomIndexerWork"
  policy = data.aws_iam_policy_document.work.json
}

# Everything that `host shop forget` needs, and more than anything else may do: it lists and removes the queues of a shop and reads all
# of the tables of products and jobs.
data "aws_iam_policy_document" "forget" {
  source_policy_documents = [data.aws_iam_policy_document.shared.json]

  statement {
    sid = "Removing"
    actions = [
      "sqs:GetQueueUrl", "sqs:GetQueueAttributes", "sqs:ListQueueTags", "sqs:DeleteQueue",
    ]
    resources = [local.queues]
  }
  statement {
    # It knows no resources.
    sid       = "Discovery"
    actions   = ["sqs:ListQueues"]
    resources = ["*"]
  }
  statement {
    # A record says which shop's it is, and no index does; a shop's jobs were numbered, and no index says which other shops' were.
    sid       = "Reading"
    actions   = ["dynamodb:Scan"]
    resources = [aws_dynamodb_table.products.arn, aws_dynamodb_table.jobs.arn]
  }
}

resource "aws_iam_policy" "forget" {
  count = var.forget_policy ? 1 : 0

  name   = "${var.env}-EcomIndexerForget"
  policy = data.aws_iam_policy_document.forget.json
}
