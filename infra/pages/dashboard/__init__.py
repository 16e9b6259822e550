"""`infra dashboard`: the template's dashboard, drawn from CloudWatch's metrics as one HTML file."""
