"""What is said of incidents, digests and letters, in words and parts that know no channel.
It may import incidents and what incidents may import; never slack.
"""
