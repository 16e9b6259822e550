"""CloudWatch as code: alarms and their evaluation, metric math, logs."""
