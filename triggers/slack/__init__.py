"""The way to Slack and back: delivery, the form of messages, what people press, and the check of a workspace.
It may import messages, incidents and what they may import; slack_sdk stays in here.
"""
