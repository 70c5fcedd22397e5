output "bucket" {
  value = aws_s3_bucket.product_data.id
}

output "jobs_table" {
  value = aws_dynamodb_table.jobs.name
}

output "settings_table" {
  value = aws_dynamodb_table.settings.name
}

output "products_table" {
  value = aws_dynamodb_table.products.name
}

output "queues" {
  description = "Queues and dead letters of the shops that the function works for."
  value       = sort(concat([for queue in aws_sqs_queue.chunks : queue.name], [for queue in aws_sqs_queue.dead_letters : queue.name]))
}

output "ingest_policy" {
  description = "For the role of `host ingest`."
  value       = aws_iam_policy.ingest.arn
}

output "work_policy" {
  description = "For the role of `host work`."
  value       = aws_iam_policy.work.arn
}

output "forget_policy" {
  description = "For the role of an operator who runs `host shop forget`; none without `forget_policy`."
  value       = one(aws_iam_policy.forget[*].arn)
}
