"""The publisher's parts; `engine_node/publisher.py` puts them together and draws them.

kafka     how brokers are reached, which topics there are, how a topic is read to its end
ship      stage 1: raw records to `journal.<shard>`, fenced
lanes     messages on their way: one lane a partition, in order, resent by a new producer until acknowledged
events    stage 2: the replica, its feed, the chain, definitions first
progress  how far it came: written each second, read at a start
"""
