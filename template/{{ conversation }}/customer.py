"""What a customer of the shop can be asked for, and the words by which that is meant (`gymkit/scripts.py`)."""

from gymkit.scripts import Topic

TOPICS = (
    Topic(
        "email", r"(?:e ?mails?|mail)(?: addresse?s?| ids?)?\b|electronic (?:mail )?address\b|address you write from\b"
    ),
    Topic("postcode", r"(?:post|postal|zip|area)[ -]?codes?\b|zip\b|plz\b"),
    Topic(
        "order",
        r"(?:orders?|purchase|reference|booking|confirmation) (?:numbers?|nos?|ids?|codes?|reference)\b"
        r"|(?:number|id|reference) of (?:the|your|that|this) (?:order|purchase)\b|which (?:one )?(?:of your )?orders?\b"
        r"|(?:what|which) order\b|order (?:is it|is this|are you|do you|does it|it is|you mean)\b|order in question\b",
    ),
    Topic(
        "new_address",
        r"(?:new|other|different|right|correct|full|complete|delivery|shipping|postal|street|desired|wanted|updated|destination"
        r"|changed) (?:\w+ )?address\b|(?:what|which) address\b|address (?:is it|should|shall|do you|would|you|it)\b"
        r"|where (?:should|shall|do you|would you|to|it|the|we|is it)\b|new (?:street|home|place)\b|\baddress\b",
    ),
    Topic(
        "cause",
        r"(?:what|which|anything) (?:is|s|was|went|seems to be)? ?(?:the )?(?:wrong|damaged?|broken|defect|reason|cause|matter)"
        r"|(?:is|was|are|has|did) (?:it|the \w+|that|this|the item|something|your \w+)(?: arrive| come| been)? (?:damaged|broken"
        r"|faulty|defective)|damaged (?:or|,)|reasons?\b|cause\b|why\b|changed? your mind|condition\b|faulty or\b|defects?\b",
    ),
    Topic(
        "new_product",
        r"(?:which|what) (?:other )?(?:product|article|model|one|item|lamp|kettle|mug|bag|watch|alternative|replacement)s?"
        r" (?:\w+ ){0,2}(?:like|want|prefer|instead|rather|get|have|wish|in (?:its|return)|replace)"
        r"|(?:in exchange|instead|replacement|alternative|in return|in its place|swap it|exchange it for|rather have)\b",
    ),
    Topic("name", r"(?:full|first|last|family|sur) ?names?\b|your names?\b|who (?:am i|are you|is writing)\b"),
    Topic("phone", r"(?:tele)?phone\b|mobile\b|cell\b"),
    Topic("birthday", r"birth ?(?:day|date)\b|date of birth\b|how old\b"),
)
"""In this order: a word that one topic has taken is not read again for a later one."""
