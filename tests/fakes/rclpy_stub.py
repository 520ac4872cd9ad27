"""As much of rclpy and sensor_msgs as a node needs, in memory: messages in, messages out."""

from types import SimpleNamespace


class Message:
    """Any message: fields are what is assigned."""

    def __init__(self, **values):
        self.fields = []
        vars(self).update(values)


class Node:
    def __init__(self):
        self.published, self.warnings, self.parameters = [], [], {}
        self.topics, self.destroyed = {}, False

    def declare_parameter(self, name, value):
        self.parameters[name] = value

    def create_publisher(self, _kind, topic, _depth):
        return SimpleNamespace(publish=lambda message: self.published.append((topic, message)))

    def create_subscription(self, _kind, topic, callback, quality):
        self.topics[topic] = callback, quality

    def get_logger(self):
        return SimpleNamespace(warning=self.warnings.append)

    def destroy_node(self):
        self.destroyed = True


def modules(scans):
    """Modules by their names, and the node; spinning gives it some scans, then Ctrl-C."""
    node = Node()

    def spin(one):
        for scan in scans:
            one.topics["points"][0](scan)
        raise KeyboardInterrupt

    rclpy = SimpleNamespace(
        init=lambda **_: None,
        create_node=lambda _: node,
        spin=spin,
        try_shutdown=lambda: None,
    )
    messages = SimpleNamespace(PointCloud2=Message, PointField=Message)
    qos = SimpleNamespace(
        QoSProfile=SimpleNamespace, ReliabilityPolicy=SimpleNamespace(BEST_EFFORT="best effort")
    )
    return {"rclpy": rclpy, "rclpy.qos": qos, "sensor_msgs.msg": messages}, node
