variable "env" {
  description = "First part of all names; the host's `aws.env`."
  type        = string
  default     = "dev"
}

variable "bucket" {
  description = "Name of the bucket, if it is not made of env: bucket names are taken all over the world. The host's `aws.bucket`."
  type        = string
  default     = null
}

variable "retention_days" {
  description = "For how long jobs, chunks and reports are kept; the host's `retention.days`. Chunks and reports at least 29 days: a message may lead to them for 14 days in the queue and 14 among the dead letters."
  type        = number
  default     = 30

  validation {
    condition     = var.retention_days >= 1
    error_message = "A day is the least."
  }
}

variable "platforms" {
  description = "Platforms of the plug-ins, with which the keys of chunks and reports begin: these expire."
  type        = list(string)
  default     = ["shopify"]
}

variable "package" {
  description = "The zip that `cargo xtask package-lambda` builds; without one there is no function, and `host work` must run elsewhere."
  type        = string
  default     = null
}

variable "architecture" {
  description = "What the package was made for: arm64 or x86_64."
  type        = string
  default     = "x86_64"
}

variable "memory_mb" {
  description = "Memory of the function, and with it its share of a core: 1769 is a whole one."
  type        = number
  default     = 1769
}

variable "shops" {
  description = "Shops that the function works for. Their queues are made here, because an event source needs them; those of all other shops are made by the host with their first message."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for shop in var.shops : can(regex("^[A-Za-z0-9.-]{1,40}$", shop)) && !endswith(shop, "-dlq")])
    error_message = "The queue of a shop whose name has other characters than letters, digits, dots and dashes, or more than 40, is named by the host alone: let `host work` do its work."
  }
}

variable "environment" {
  description = "More settings of the function: `{ HOST_WORKER__CONCURRENCY = \"8\" }`."
  type        = map(string)
  default     = {}
}

variable "concurrency" {
  description = "Invocations at once for each shop; a search server has a limit too. At least 2, says SQS."
  type        = number
  default     = 4
}

variable "alarm_topic_arn" {
  description = "SNS topic that alarms notify; without one there are no alarms."
  type        = string
  default     = null
}

variable "forget_policy" {
  description = "Whether there is a policy `{env}-EcomIndexerForget` for the role of an operator who runs `host shop forget`. No process needs it all the time."
  type        = bool
  default     = false
}
