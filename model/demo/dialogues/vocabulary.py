"""Everyday words for questions that the model cannot answer and for texts to repeat."""

from __future__ import annotations

from .turn import words

WORDS = words(
    """
able about above accident account across action active actor address advice afraid after again against age
agree air airport album alone along animal answer apple area argue army around arrive art article ask autumn
baby back bad bag bake ball banana band bank bar basket bath battle beach bear beautiful bed bee beer before
begin behind believe bell below best better between bicycle big bird birthday black blood blue boat body
bone book border boring bottle bottom box boy brain bread break breakfast bridge bright bring broken brother
brown brush build building burn bus business busy butter button buy cake call camera camp candle capital car
card care carry cat catch cause cell center century chair change cheap cheese chemistry chess chicken child
choose church circle city class clean clear climate climb clock close cloth cloud coat code coffee cold
color come comfortable common company compare computer cook cookie copy corner correct cost cotton count
country course cousin cover cow crazy cream create cross cry culture cup curious cut cycle dance danger dark
data date daughter day dead deal dear death decide deep deer design desk destroy develop die difference
difficult dinner direction dirty discover disease dish distance divide doctor dog dollar door double down
draw dream dress drink drive drop dry duck dust duty early earth east easy eat economy edge education egg
election electric elephant email empty end enemy energy engine enjoy enough enter equal escape evening event
ever evil exam example exercise expensive explain explore eye face fact factory fail fall family famous far
farm fashion fast fat father fear feed feel fence field fight fill film final find finger finish fire fish
fix flag flat floor flower fly follow food foot football force foreign forest forget form forward fox free
fresh friend front fruit full function fun funny future galaxy game garden gas gate general get ghost giant
gift girl give glass goal god gold good government grandmother grape grass gravity gray great green ground
group grow guess guitar gun hair half hall hammer hand happen happy hard hat hate have head health hear
heart heat heavy help hero hide high hill history hit hobby hold hole holiday home honest honey hope horse
hospital hot hotel hour house huge human hungry hunt hurry hurt husband ice idea imagine important inside
insect interest internet invent iron island jacket job join joke journey juice jump jungle justice keep key
kill kind king kiss kitchen knee knife know lake lamp land language large laugh law lazy lead leaf learn
leave left leg lemon lesson letter library lie life light like line lion list listen little live local lock
long look lose loud love low luck lunch machine magic mail main make man manager many map market marry math
matter meal mean measure meat medicine meet member memory message metal method middle milk million mind
minute mirror miss mistake mix modern money monkey month moon morning mother motor mountain mouse mouth move
movie much music mystery name narrow nation nature near neck need neighbor nervous never new news newspaper
next nice night noise north nose note nothing novel number nurse object ocean offer office often oil old
onion open opinion orange order other outside oven owner page pain paint pair paper parent park part party
pass past path pay peace pen people pepper perfect person phone photo physics piano picture piece pig pilot
pink place plan planet plant plastic plate play please plenty pocket poem point poison police poor popular
position possible potato power practice prepare present president pretty price print prison prize problem
product program promise protect proud pull pump pupil push put queen question quick quiet rabbit race radio
rain read ready real reason recipe red religion remember rent repair repeat reply report rest restaurant
result return rice rich ride right ring river road robot rock roof room root rope rose rough round rule run
sad safe salad salt sand save say school science sea search season seat second secret see seed sell send
sentence serious serve shape share sharp sheep ship shirt shoe shoot shop short shoulder shout show sick
side sign silver simple sing sister sit size skin sky sleep slow small smart smell smile smoke snake snow
soap soccer society soft soldier some son song soon sound soup south space speak special speed spell spend
spider spoon sport spring square stage stairs stamp star start state station stay steal steel step stick
still stone stop store storm story strange street strong student study stupid style subject success sugar
suit summer sun sure surprise sweet swim table take talk tall taste taxi tea teach team tear technology
telephone television tell temperature terrible theater theory thick thin thing think thirsty throat throw
ticket tiger time tired today together tomato tomorrow tongue tool tooth top total touch tourist tower town
toy trade traffic train travel tree trip trouble truck true trust try turn type ugly umbrella uncle under
understand university use usual vacation valley value vegetable very video village violin virus visit voice
volcano wait walk wall want war warm wash watch water wave way weak wear weather wedding week weight welcome
west wet whale wheat wheel white whole why wide wife wild win wind window wine winter wire wise wish wolf
woman wonder wood word work world worry write wrong year yellow yesterday young zebra zero zoo
"""
)

PLACES = words(
    """
France Germany Italy Spain Japan China India Brazil Canada Mexico Egypt Kenya Norway Sweden Poland Greece
Turkey Peru Chile Australia Paris London Berlin Rome Madrid Tokyo Moscow Delhi Cairo Oslo Vienna Athens
Lisbon Dublin Boston Europe Africa Asia America California Texas Mars Venus Jupiter Atlantis Switzerland
Portugal Iceland Finland Vietnam Korea
"""
)

PEOPLE = words(
    """
Einstein Newton Shakespeare Mozart Beethoven Napoleon Caesar Cleopatra Darwin Gandhi Lincoln Obama Picasso
Plato Turing Tesla Curie Galileo Columbus Batman Superman Bach Kant Lovelace Gauss Euler Feynman Hemingway
Tolstoy Homer Buddha
"""
)

TECHNOLOGY = words(
    """
Python Rust Java JavaScript Linux Windows Docker Kubernetes Git SQL HTML CSS C++ Haskell regex TCP HTTP JSON
YAML pandas numpy PyTorch React Excel bash vim emacs Postgres Redis Bitcoin
"""
)
