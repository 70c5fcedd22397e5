# Alarms that page an operator. Queues of shops that are not in `shops` need the same alarms.

locals {
  alarms = var.alarm_topic_arn == null ? [] : [var.alarm_topic_arn]
}

resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  for_each = var.alarm_topic_arn == null ? {} : local.stems

  alarm_name          = "${each.value}-dead-letters"
  alarm_description   = "A chunk became a dead letter; see `host dlq list --shop ${each.key}`."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = aws_sqs_queue.dead_letters[each.key].name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarms
}

resource "aws_cloudwatch_metric_alarm" "age" {
  for_each = var.alarm_topic_arn == null ? {} : local.stems

  alarm_name          = "${each.value}-age"
  alarm_description   = "A chunk has waited for an hour: no worker, a search server that refuses everything, or too few lanes."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateAgeOfOldestMessage"
  dimensions          = { QueueName = aws_sqs_queue.chunks[each.key].name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = 3600
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarms
}

resource "aws_cloudwatch_metric_alarm" "partial_documents" {
  count = var.alarm_topic_arn == null ? 0 : 1

  alarm_name          = "${var.env}-PartialDocumentsDetected"
  alarm_description   = "Documents lacked vectors after they were written."
  namespace           = "host"
  metric_name         = "PartialDocumentsDetected"
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarms
}

resource "aws_cloudwatch_metric_alarm" "stopped" {
  count = var.alarm_topic_arn == null ? 0 : 1

  alarm_name          = "${var.env}-stopped"
  alarm_description   = "Work on an index of a shop is stopped until its cause is fixed; `host jobs list` says which and why."
  namespace           = "host"
  metric_name         = "host_breakers_open"
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarms
}

resource "aws_cloudwatch_metric_alarm" "function_errors" {
  count = var.package == null || var.alarm_topic_arn == null ? 0 : 1

  alarm_name          = "${var.env}-EcomIndexerFunction-errors"
  alarm_description   = "Invocations end without an answer: out of time, out of memory, or a wrong configuration; see the log."
  namespace           = "AWS/Lambda"
  metric_name         = "Errors"
  dimensions          = { FunctionName = aws_lambda_function.indexer[0].function_name }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarms
}
