"""What is said of incidents, digests and letters, and how it is delivered once; in parts that know no channel.
It may import incidents and what incidents may import; never slack.
"""
