"""What is said of incidents, digests and letters, and how it is delivered once; in parts that know no channel.
It may import incidents and what incidents may import; never slack.
"""

from triggers.messages.card import ORIGIN, Card, asks, facts, freshness, origin_text, sentence
from triggers.messages.card_reader import CardReader, other_incidents, rule_at_opening
from triggers.messages.compose import Composer
from triggers.messages.delivery import DeliveryWorker, Sent
from triggers.messages.delivery_channel import Ids, Posted, SendError, Upload
from triggers.messages.direct_messages import DirectMessageWriter
from triggers.messages.message import Control, Link, Menu, Message, Picture, news
from triggers.messages.picture_delivery import PictureDelivery
from triggers.messages.remove_duplicates import DuplicateRemover
