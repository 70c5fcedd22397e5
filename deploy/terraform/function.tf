# The queues of `shops` and the function that consumes them. The queues are identical to those that the host would create.

locals {
  function_timeout = 900
  stems            = { for shop in var.shops : shop => "${local.queue_prefix}${replace(shop, ".", "_")}" }
  with_function    = var.package == null ? 0 : 1
}

resource "aws_sqs_queue" "dead_letters" {
  for_each = local.stems

  name                        = "${each.value}-dlq.fifo"
  fifo_queue                  = true
  content_based_deduplication = false
  deduplication_scope         = "messageGroup"
  fifo_throughput_limit       = "perMessageGroupId"
  message_retention_seconds   = 1209600
  visibility_timeout_seconds  = 960
  sqs_managed_sse_enabled     = true
  tags                        = { shop_id = each.key, application = "ecom-indexer" }
}

resource "aws_sqs_queue" "chunks" {
  for_each = local.stems

  name                        = "${each.value}.fifo"
  fifo_queue                  = true
  content_based_deduplication = false
  deduplication_scope         = "messageGroup"
  fifo_throughput_limit       = "perMessageGroupId"
  message_retention_seconds   = 1209600
  # Longer than an invocation may take.
  visibility_timeout_seconds = 960
  sqs_managed_sse_enabled    = true
  # Only a net: the host counts attempts itself and sends dead letters with the reason.
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letters[each.key].arn
    maxReceiveCount     = 1000
  })
  tags = { shop_id = each.key, application = "ecom-indexer" }
}

resource "aws_iam_role" "function" {
  count = local.with_function

  name = "${var.env}-EcomIndexerFunction"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "lambda.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "work" {
  count = local.with_function

  role       = aws_iam_role.function[0].name
  policy_arn = aws_iam_policy.work.arn
}

resource "aws_iam_role_policy_attachment" "logs" {
  count = local.with_function

  role       = aws_iam_role.function[0].name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
}

resource "aws_cloudwatch_log_group" "function" {
  count = local.with_function

  name              = "/aws/lambda/${var.env}-EcomIndexerFunction"
  retention_in_days = var.retention_days
}

resource "aws_lambda_function" "indexer" {
  count = local.with_function

  function_name    = "${var.env}-EcomIndexerFunction"
  role             = aws_iam_role.function[0].arn
  filename         = var.package
  source_code_hash = filebase64sha256(var.package)
  runtime          = "provided.al2023"
  handler          = "bootstrap"
  architectures    = [var.architecture]
  memory_size      = var.memory_mb
  timeout          = local.function_timeout

  environment {
    variables = merge({
      HOST_TARGET          = "marqo"
      HOST_AWS__ENV        = var.env
      HOST_AWS__BUCKET     = local.bucket
      HOST_RETENTION__DAYS = var.retention_days
      HOST_TELEMETRY__EMF  = "true"
    }, var.environment)
  }

  depends_on = [aws_cloudwatch_log_group.function]
}

resource "aws_lambda_event_source_mapping" "shop" {
  for_each = var.package == null ? {} : local.stems

  event_source_arn        = aws_sqs_queue.chunks[each.key].arn
  function_name           = aws_lambda_function.indexer[0].arn
  batch_size              = 10
  function_response_types = ["ReportBatchItemFailures"]

  scaling_config { maximum_concurrency = var.concurrency }
}
