"""What an operator runs; boto3 lives here; never packaged into a function."""
