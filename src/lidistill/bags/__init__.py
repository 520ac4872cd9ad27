"""ROS bags, read without ROS: files of records, messages, and what they say about sensors.

No definition in a bag is parsed and no code is made from it: the five messages that matter have
had one layout for as long as each version of ROS has existed.
"""
